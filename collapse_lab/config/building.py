"""From a composed configuration to a `Lab`: every node is bound to its constructor, then built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from collapse_lab.config.schema import Root, bind, canonical, import_target, resolved
from collapse_lab.engine.lab import Lab, ModelPart, Part, Prompts
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.sizes import SCHEDULE, read_sizes
from collapse_lab.storage.files import checksum
from collapse_lab.types import Spec


def build(cfg: DictConfig, root: Root) -> Lab:
    """The lab that a configuration describes.

    Raises:
        UserError: whatever can be known to be wrong before anything is computed.
    """
    device = pick_device(root.device)
    plain = resolved(OmegaConf.merge(cfg, {"device": device}))  # type: ignore[arg-type]
    masked = canonical(cfg)
    dataset = make(plain["dataset"], "dataset")
    population = make(plain["population"], "population")
    lab = Lab(
        seed=root.seed,
        generations=root.generations,
        n_train=read_sizes("n_train", root.n_train, root.generations),
        n_samples=read_sizes("n_samples", root.n_samples, root.generations),
        device=device,
        dataset=dataset,
        models=[
            _model(name, {**plain["model"], **changes}, {**masked["model"], **changes})
            for name, changes in population.members.items()
        ],
        population=population,
        mixing=make(plain["mixing"], "mixing"),
        curation=make(plain["curation"], "curation"),
        curation_identity=bind(masked["curation"], "curation"),
        prompts=_prompts(plain["prompts"], dataset.spec),
        extractors={name: _extractor(name, node, masked["features"][name]) for name, node in plain["features"].items()},
        metrics=_pairs(plain["metrics"], masked["metrics"], "metrics"),
        probes=_pairs(plain["probes"], masked["probes"], "probes"),
        training=make(plain["trainer"], "trainer"),
        store=make(plain["store"], "store"),
    )
    _check(lab, plain)
    return lab


def make(node: Mapping[str, Any], where: str) -> Any:
    """The object of a `_target_` node, after its arguments are checked against the constructor."""
    bind(node, where)
    return _factory(node, where)()


def _factory(node: Mapping[str, Any], where: str) -> Any:
    def construct(*arguments: Any, **changes: Any) -> Any:
        try:
            return _constructed({**node, **changes}, arguments)
        except InstantiationException as error:
            cause = error.__cause__
            while cause is not None:
                if isinstance(cause, UserError):
                    raise UserError(f"{where}: {cause}") from error
                cause = cause.__cause__
            raise

    return construct


def _constructed(node: Mapping[str, Any], arguments: Sequence[Any]) -> Any:
    """As hydra does it, which takes milliseconds, twice a generation, to find nothing but plain values in a node."""
    given = {key: value for key, value in node.items() if not key.startswith("_")}
    if not all(value is None or isinstance(value, str | int | float) for value in given.values()):
        return instantiate({**node, "_convert_": "all", "_partial_": False}, *arguments)
    target = str(node["_target_"])
    try:
        return import_target(target, "model")(*arguments, **given)
    except Exception as error:
        raise InstantiationException(f"Error in call to target '{target}':\n{error!r}") from error


def _model(name: str, node: Mapping[str, Any], masked: Mapping[str, Any]) -> ModelPart:
    where = "model" if name == "model" else f"population.members.{name}"
    family = import_target(str(node["_target_"]), where)
    schedules = {key: list(value[SCHEDULE]) for key, value in node.items() if _is_schedule(value)}
    for key, values in schedules.items():
        if key not in family.sampling_only or not values:
            raise UserError(
                f"{where}.{key}.{SCHEDULE} is a list of values, one per generation, of what acts after training: "
                f"{', '.join(sorted(family.sampling_only))}; got {key}={values}"
            )
    # Every value of a schedule is checked as it would be alone, in whichever generation it comes
    for number in range(max(map(len, schedules.values()), default=0)):
        part = {key: values[min(number, len(values) - 1)] for key, values in schedules.items()}
        bind({**masked, **part, "_partial_": True}, where)
    identity = bind({**masked, **{key: values[0] for key, values in schedules.items()}, "_partial_": True}, where)
    _read_files(identity, node, ["pretrained"])
    return ModelPart(name, Part(_factory(node, where), identity), family.sampling_only, schedules)


def _extractor(name: str, node: Mapping[str, Any], masked: Mapping[str, Any]) -> Part:
    where = f"features.{name}"
    identity = bind(masked, where)
    _read_files(identity, node, ["weights", "pretrained"])
    return Part(_factory(node, where), identity)


def _read_files(identity: dict[str, Any], node: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Puts checksums in the place of paths: weights replaced at the same path are other weights."""
    for argument in arguments:
        given = Path(str(node.get(argument) or "")).expanduser()
        if given.name and given.exists():
            identity["arguments"][argument] = checksum(given)


def _is_schedule(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {SCHEDULE}


def _prompts(node: Mapping[str, Any], spec: Spec) -> Prompts:
    sets = {name: make(each, f"prompts.sets.{name}").bind(spec) for name, each in node["sets"].items()}
    for role in ("retrain", "base"):
        if node[role] is not None and node[role] not in sets:
            raise UserError(f"prompts.{role} names no prompt set: '{node[role]}'; {did_you_mean(node[role], sets)}")
    return Prompts(sets, node["retrain"], node["base"])


def _pairs(node: Mapping[str, Any], masked: Mapping[str, Any], where: str) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    return {name: (make(each, f"{where}.{name}"), bind(masked[name], f"{where}.{name}")) for name, each in node.items()}


def _check(lab: Lab, plain: Mapping[str, Any]) -> None:
    if lab.extractors and not isinstance(lab.n_samples, int):
        raise UserError(
            "metrics of feature spaces compare generations only at the same number of samples, and n_samples follows a "
            f"schedule; give one number, such as n_samples={max(lab.n_samples)}, or leave metrics out: features=[]"
        )
    for name, (metric, _) in lab.metrics.items():
        for space in metric.features or ():
            if space not in lab.extractors:
                raise UserError(f"metrics.{name}.features names '{space}'; {did_you_mean(space, lab.extractors)}")
    if lab.population.lineage == "pretrained" and not plain["model"].get("pretrained"):
        raise UserError("population.lineage=pretrained starts every fit from model.pretrained, and that is not given")


def pick_device(wanted: str) -> str:
    """`cuda` or `cpu`; `auto` takes the GPU if there is one."""
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise UserError("device=cuda was asked for and torch sees no GPU; give device=cpu or device=auto")
    return "cuda" if available and wanted != "cpu" else "cpu"
