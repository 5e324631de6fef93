"""Build a `Lab` from a composed configuration: every node is bound to its constructor, then constructed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from collapse_lab.config.binding import bind, import_target
from collapse_lab.config.plugs import check_protocol
from collapse_lab.config.schema import read_root
from collapse_lab.config.signature import SPEC, bind_model, canonical, resolved
from collapse_lab.engine.allocations import bounded
from collapse_lab.engine.checks import check_run
from collapse_lab.engine.domains import check_domains
from collapse_lab.engine.lab import Component, Lab, ModelComponent, PromptSets
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.sizes import SCHEDULE, read_sizes
from collapse_lab.storage.files import checksum
from collapse_lab.types import (
    Curation,
    Dataset,
    Executor,
    Extractor,
    FittedExtractor,
    GenerativeModel,
    Metric,
    MixingPolicy,
    Probe,
    PromptSet,
    Sink,
    Spec,
)

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

EXECUTOR = frozenset({"executor"})
# What a metric may need of features beside their values: in words, and a feature space that gives it
NEEDS = {"predicted": "the class of each sample", "texts": "an embedding of each sample's caption"}
GIVERS = {"predicted": "classifier", "texts": "clip"}


def build(cfg: DictConfig, executor: Executor) -> Lab:
    """Return the lab that a configuration describes.

    Args:
        cfg: a composed and checked configuration.
        executor: how the cell's work is executed.

    Raises:
        UserError: anything that can be known to be wrong before something is computed.
    """
    root = read_root(cfg)
    device = pick_device(root.device)
    plain = resolved(OmegaConf.merge(cfg, {"device": device}))  # type: ignore[arg-type]
    masked = canonical(cfg)
    dataset = make(plain["dataset"], "dataset", Dataset)
    population = make(plain["population"], "population")
    built: dict[str, GenerativeModel] = {}  # of each member, let go when this function returns
    lab = Lab(
        seed=root.seed,
        generations=root.generations,
        n_train=read_sizes("n_train", root.n_train, root.generations),
        n_samples=read_sizes("n_samples", root.n_samples, root.generations),
        device=device,
        dataset=dataset,
        models=[
            _model(name, merged(plain["model"], changes), merged(masked["model"], changes), dataset.spec, built)
            for name, changes in population.members.items()
        ],
        population=population,
        mixing=make(plain["mixing"], "mixing", MixingPolicy),
        curation=make(plain["curation"], "curation", Curation),
        curation_identity=bind(masked["curation"], "curation"),
        prompts=_prompts(plain["prompts"], dataset.spec),
        extractors={name: _extractor(name, node, masked["features"][name]) for name, node in plain["features"].items()},
        metrics=_with_identities(plain["metrics"], masked["metrics"], "metrics", Metric),
        probes=_with_identities(plain["probes"], masked["probes"], "probes", Probe),
        training=make(plain["trainer"], "trainer"),
        store=_store(plain["store"], executor),
        executor=executor,
    )
    _check(lab, plain)
    check_run(lab, built)
    return lab


def build_sinks(plain: Mapping[str, Any]) -> list[Sink]:
    """Return the sinks of a resolved configuration."""
    sinks: list[Sink] = [make(node, f"sinks.{name}", Sink) for name, node in plain["sinks"].items()]
    return sinks


def make(node: Mapping[str, Any], where: str, protocol: type | None = None) -> Any:
    """Return the object of a `_target_` node, after its arguments are checked against the constructor.

    Args:
        node: a resolved configuration node.
        where: its place in the configuration, as messages name it.
        protocol: what the object has to satisfy.

    Raises:
        UserError: the constructor refuses the arguments, or the object lacks a member of the protocol.
    """
    bind(node, where)
    made = _constructor(node, where)()
    if protocol is not None:
        check_protocol(made, protocol, where)
    return made


def merged(node: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node with the changes of a member of the population, nested nodes merged argument by argument.

    A change that names a `_target_`, or a schedule, replaces what stood there.
    """
    both = dict(node)
    for name, value in changes.items():
        present = both.get(name)
        if isinstance(value, Mapping) and isinstance(present, Mapping) and not {"_target_", SCHEDULE} & set(value):
            both[name] = merged(present, value)
        else:
            both[name] = value
    return both


def without(node: Mapping[str, Any], arguments: Iterable[str]) -> dict[str, Any]:
    """Return a node without some arguments; `optimisation.lr` is the argument `lr` of the node `optimisation`."""
    kept = dict(node)
    for argument in arguments:
        outer, _, inner = argument.partition(".")
        if not inner:
            kept.pop(outer, None)
        elif isinstance(kept.get(outer), Mapping):
            kept[outer] = without(kept[outer], [inner])
    return kept


def pick_device(wanted: str) -> str:
    """Return `cuda` or `cpu`; `auto` takes the GPU if there is one."""
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError("device=cuda was asked for and torch sees no GPU; give device=cpu or device=auto")
    return "cuda" if available and wanted != "cpu" else "cpu"


def _constructor(node: Mapping[str, Any], where: str) -> Callable[..., Any]:
    """Return a function that constructs the object of a node; it may be given further arguments."""

    def construct(*arguments: Any, **changes: Any) -> Any:
        try:
            return _constructed({**node, **changes}, arguments)
        except InstantiationException as error:
            cause = error.__cause__
            while cause is not None:
                if isinstance(cause, UserError):
                    raise UserError(f"{where}: {cause}") from error
                cause = cause.__cause__
            reason = " ".join(f"{type(error.__cause__).__name__}: {error.__cause__}".split())
            raise UserError(f"{where} cannot be constructed ({reason}); correct its arguments") from error

    return construct


def _constructed(node: Mapping[str, Any], arguments: Sequence[Any]) -> Any:
    """Construct a node as Hydra does, without Hydra where the node holds plain values alone.

    Hydra takes milliseconds for such a node, twice in each generation.
    """
    given = {key: value for key, value in node.items() if not key.startswith("_")}
    if not all(value is None or isinstance(value, str | int | float) for value in given.values()):
        return instantiate({**node, "_convert_": "all", "_partial_": False}, *arguments)
    target = str(node["_target_"])
    try:
        return import_target(target, "model")(*arguments, **given)
    except Exception as error:
        raise InstantiationException(f"Error in call to target '{target}':\n{error!r}") from error


def _store(node: Mapping[str, Any], executor: Executor) -> Any:
    bind(node, "store", EXECUTOR)
    given = {key: value for key, value in node.items() if not key.startswith("_")}
    return import_target(str(node["_target_"]), "store")(executor=executor, **given)


def _model(
    name: str, node: Mapping[str, Any], masked: Mapping[str, Any], spec: Spec, built: dict[str, GenerativeModel]
) -> ModelComponent:
    """Return the component of a member, and put a model of it into `built`."""
    where = "model" if name == "model" else f"population.members.{name}"
    identities, schedules = bind_model(masked, where)
    family = import_target(str(node["_target_"]), where)
    fresh = bind_model(without(masked, getattr(family, "finetuning_only", ())), where)[0][0]
    _read_files([*identities, fresh], node, ["pretrained"], getattr(family, "checksum", checksum))
    check_protocol(family, GenerativeModel, where)  # now, because what acts after training is read off the class
    component = ModelComponent(
        name, _constructor(node, where), identities, family.sampling_only, schedules, fresh_identity=fresh
    )
    # Construct the model once, so that a wrong size or range is refused now and not after generation 0
    with bounded(f"the network of {where}", "lower its sizes (channels, width, layers, replicas, …)"):
        built[name] = component.build(spec, 0)
    check_protocol(built[name], GenerativeModel, where)
    made = built[name]
    validates, weighs = (bool(getattr(made, name, False)) for name in ("validates", "weighs"))
    return replace(
        component,
        least_rows=getattr(made, "least_rows", 1),
        validates=validates,
        weighs=weighs,
        encoder=getattr(made, "frozen_encoder", None),
        judged_in=(judged_in := getattr(made, "judged_in", None)),
        distance=_distance(judged_in),
    )


def _distance(judged_in: str | None) -> Callable[[Tensor, Tensor], float] | None:
    """Return by which distance a fit judges its images, None where it judges none."""
    if judged_in is None:
        return None
    from collapse_lab.metrics.kid import kernel_distance  # because it imports torch

    return kernel_distance


def _extractor(name: str, node: Mapping[str, Any], masked: Mapping[str, Any]) -> Component:
    where = f"features.{name}"
    identity = bind(masked, where, SPEC)
    _read_files([identity], node, ["weights", "pretrained"])
    target = import_target(str(node["_target_"]), where)
    check_protocol(target, FittedExtractor if callable(getattr(target, "fit", None)) else Extractor, where)
    return Component(_constructor(node, where), identity, frozenset(getattr(target, "provides", ())))


def _read_files(
    identities: Iterable[dict[str, Any]],
    node: Mapping[str, Any],
    arguments: Sequence[str],
    checksum_of: Callable[[Path], str] = checksum,
) -> None:
    """Put checksums in the place of paths, because weights that are replaced at the same path are other weights."""
    for argument in arguments:
        path = Path(str(node.get(argument) or "")).expanduser()
        if path.name and path.exists():
            contents = checksum_of(path)  # once for all identities, because weights may be gigabytes
            for identity in identities:
                identity["arguments"][argument] = contents


def _prompts(node: Mapping[str, Any], spec: Spec) -> PromptSets:
    sets = {name: make(prompts, f"prompts.sets.{name}", PromptSet).bind(spec) for name, prompts in node["sets"].items()}
    for role in ("retrain", "base"):
        if node[role] is not None and node[role] not in sets:
            raise UserError(f"prompts.{role} names no prompt set: '{node[role]}'; {did_you_mean(node[role], sets)}")
    _refuse_shared_prompts(sets, str(node["retrain"]))
    return PromptSets(sets, node["retrain"], node["base"])


def _refuse_shared_prompts(sets: Mapping[str, PromptSet], retrain: str) -> None:
    """Refuse a prompt that is listed in the set that is retrained on, and in another one too.

    Raises:
        UserError: there is such a prompt, which would be measured as one that is not retrained on.
    """
    listed: dict[str, Sequence[str]] = {name: getattr(prompts, "prompts", ()) for name, prompts in sets.items()}
    for name, prompts in listed.items():
        shared = sorted(set(prompts) & set(listed[retrain])) if name != retrain else []
        if shared:
            raise UserError(
                f"the prompt '{shared[0]}' is in the sets '{retrain}', which is retrained on, and '{name}' "
                f"({len(shared)} prompts are in both): remove it from one of them"
            )


def _with_identities(
    plain: Mapping[str, Any], masked: Mapping[str, Any], where: str, protocol: type
) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    return {
        name: (make(node, f"{where}.{name}", protocol), bind(masked[name], f"{where}.{name}"))
        for name, node in plain.items()
    }


def _check(lab: Lab, plain: Mapping[str, Any]) -> None:
    if lab.extractors and not isinstance(lab.n_samples, int):
        raise UserError(
            "metrics of feature spaces compare generations only at the same number of samples, and n_samples follows a "
            f"schedule; give one number, such as n_samples={max(lab.n_samples)}, or leave metrics out: features=[] "
            "metrics=[]"
        )
    _check_metrics(lab)
    check_domains(lab.population, lab.prompts.sets)
    check_members: Callable[[Sequence[str]], None] | None = getattr(lab.mixing, "check_members", None)
    if check_members is not None:
        check_members(lab.population.names)
    for name, changes in lab.population.members.items():
        pretrained = changes.get("pretrained", plain["model"].get("pretrained"))
        if lab.population.lineages[name] == "pretrained" and not pretrained:
            named = f".{name}" if isinstance(plain["population"].get("lineage"), Mapping) else ""
            raise UserError(
                f"population.lineage{named}=pretrained starts every fit from model.pretrained, and that is not given"
            )


def _check_metrics(lab: Lab) -> None:
    """Refuse metrics that are never computed, and say which of several are left out.

    Raises:
        UserError: a feature space that the run does not have, or a run whose metrics could all not be computed.
    """
    for name, (metric, _) in lab.metrics.items():
        if metric.features is not None and not metric.features:
            raise UserError(f"metrics.{name}.features is empty, so the metric is never computed; give null for all")
        for space in metric.features or ():
            if space not in lab.extractors:
                raise UserError(f"metrics.{name}.features names '{space}'; {did_you_mean(space, lab.extractors)}")
    idle = {name: reason for name, (metric, _) in lab.metrics.items() if (reason := _reason_to_idle(metric, lab))}
    for name, reason in idle.items():
        if len(idle) == len(lab.metrics):
            raise UserError(f"metrics=[{','.join(lab.metrics)}] would measure nothing: {name} needs {reason}")
        log.info("metrics.%s is left out: it needs %s", name, reason)


def _reason_to_idle(metric: Metric, lab: Lab) -> str | None:
    """Return what a metric needs that no feature space of the run provides, None where it can be computed."""
    if not lab.extractors:
        return "a feature space, and features=[] has none; give features=[pixels], or metrics=[]"
    needs = getattr(metric, "needs", None)
    spaces = metric.features or list(lab.extractors)
    if needs is None or any(needs in lab.extractors[space].provides for space in spaces):
        has_captions = bool(lab.dataset.spec.vocabulary)
        return None if needs != "texts" or has_captions else "captions, and this data set has none"
    return f"{NEEDS[needs]}, which features=[{GIVERS[needs]}] gives and features=[{','.join(spaces)}] does not"
