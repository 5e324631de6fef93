"""Choose one generation of a run: its plan, its lines of the ledger, and what the store holds of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from collapse_lab.config.binding import import_target
from collapse_lab.config.building import build, merged
from collapse_lab.config.searchpath import folders
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.extractors import Extractors
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.plan import Generations, Planner, Step, step_of
from collapse_lab.engine.silent import Silent
from collapse_lab.engine.work import Work
from collapse_lab.errors import UserError, did_you_mean
from collapse_lab.results.run import Run
from collapse_lab.seeds import Seeds
from collapse_lab.sharing.folders import ELSEWHERE, configuration_of, environment_of, read_one_run
from collapse_lab.storage.store import Payload
from collapse_lab.types import Exported, GenerativeModel, Record

Kind = Literal["model", "weights", "samples"]  # what is read of a generation: a model to export, or to sample from
AGAIN = "the run's own command computes what the store lacks, once its ledger.jsonl is deleted"


@dataclass(frozen=True)
class Chosen:
    """Hold one generation of one member of a run.

    Attributes:
        run: the run.
        lab: what the run is made of, less what measures it.
        step: the stages of the generation.
        environment: where the run was computed, and by which command.
    """

    run: Run
    lab: Lab
    step: Step
    environment: Mapping[str, Any]

    @property
    def records(self) -> Sequence[Record]:
        """Return the lines of the ledger of this member up to this generation, oldest first."""
        step = self.step
        return [r for r in self.run.records if r.model == step.model and r.generation <= step.generation]

    @property
    def record(self) -> Record | None:
        """Return the line of the ledger; None where the generation is not measured yet."""
        return next((r for r in self.records if r.generation == self.step.generation), None)

    def stored(self, kind: str, key: str) -> Payload:
        """Return what the store holds of a stage; nothing is computed.

        Args:
            kind: `fit` or `sample`.
            key: the key of the stage.

        Raises:
            UserError: the entry is damaged, or the model diverged.
        """
        payload = self.lab.store.look_up(kind, key)
        if payload.divergence is not None:
            raise UserError(
                f"generation {self.step.generation} diverged ({payload.divergence}), so that there is nothing to "
                "export: give an earlier one with --generation"
            )
        return payload

    def export(self, folder: Path) -> Exported:
        """Write the model with the weights that this generation sampled with.

        Args:
            folder: an empty folder.

        Raises:
            UserError: as `stored`.
        """
        made: Exported = self.model().export(folder)  # type: ignore[attr-defined]
        return made

    def model(self) -> GenerativeModel:
        """Return the model with the weights that this generation sampled with.

        Raises:
            UserError: as `stored`.
        """
        step, payload = self.step, self.stored("fit", self.step.fit.key)
        component = self.lab.model(step.model)
        model: GenerativeModel = self.lab.fresh(component, Seeds(self.lab.seed, step.generation, step.model, "fit"))
        model.load(payload.tensors)
        return model


def choose(path: Path, generation: int | None, member: str | None, changes: Sequence[str], kind: Kind) -> Chosen:
    """Return one generation of a run.

    Args:
        path: the run folder.
        generation: 0 or more; None takes the last one in the ledger.
        member: the member of the population; None takes the only one.
        changes: KEY=VALUE of what lies elsewhere now than when the run was computed.
        kind: what of the generation has to be there.

    Raises:
        UserError: there is no such run, member or generation, its family cannot be exported, its data or weights have
            changed, or the store does not hold it.
    """
    run = read_one_run(path)
    name = _member(run, member)
    if kind == "model":
        _check_family(run, name)
    wanted = _generation(run, generation, name)
    lab = build(configuration_of(run, changes), Alone())
    _check_modality(lab, kind)
    plan = Planner(lab, Work(lab, Extractors(lab, Silent()), Silent())).steps()
    step = step_of(plan, wanted, name)
    if step is None:
        raise UserError(f"member '{name}' of {run.folder} is not there in generation {wanted} (population.present)")
    chosen = Chosen(run, lab, step, environment_of(run.folder))
    if chosen.record is not None and chosen.record.keys != step.keys:
        raise UserError(
            f"{run.folder} was computed from other data or weights than lie at their paths now, or by another version "
            f"of collapse_lab: restore them, or say where they lie, by {ELSEWHERE}"
        )
    _check_stored(chosen, plan, kind)
    return chosen


def _member(run: Run, member: str | None) -> str:
    names = [str(name) for name in run.config["population"]["members"] or {"model": {}}]
    if member is None and len(names) > 1:
        raise UserError(
            f"the run has {len(names)} members, and one is exported at a time: give --member with one of "
            f"{', '.join(names)}"
        )
    if member is not None and member not in names:
        raise UserError(
            f"--member is a member of the run's population, and '{member}' is none; {did_you_mean(member, names)}"
        )
    return member or names[0]


def _check_family(run: Run, member: str) -> None:
    """Refuse a family without a method `export`, and name those that have one."""
    members = run.config["population"]["members"] or {}
    target = str(merged(run.config["model"], members.get(member) or {})["_target_"])
    if hasattr(import_target(target, "model"), "export"):
        return
    files = [path for folder in folders() for path in (folder / "model").glob("*.yaml")]
    nodes = {path.stem: yaml.safe_load(path.read_text()) for path in files}
    targets = {option: str(node["_target_"]) for option, node in nodes.items() if "_target_" in node}
    own = next((option for option, other in targets.items() if other == target), target)
    able = [option for option, other in targets.items() if hasattr(import_target(other, option), "export")]
    raise UserError(
        f"model={own} is nothing that another library opens; give a run of one of these families: "
        f"{', '.join(sorted(able))}; or give --samples, which writes the pictures or texts of any family"
    )


def _generation(run: Run, generation: int | None, member: str) -> int:
    last = max((r.generation for r in run.records if r.model == member), default=None)
    if generation is None and last is None:
        raise UserError(f"no generation of {run.folder} is complete yet: let the run go on, and export then")
    wanted, planned = last if generation is None else generation, run.config["generations"]
    if wanted is None or not 0 <= wanted <= planned:
        raise UserError(f"the run has the generations 0 to {planned}, and not {wanted}: give another --generation")
    return wanted


def _check_modality(lab: Lab, kind: Kind) -> None:
    modality = lab.dataset.spec.modality
    if kind == "samples" and modality not in ("image", "tokens"):
        raise UserError(
            f"samples are exported as images or texts, and those of this run are {modality}: give another run"
        )


def _check_stored(chosen: Chosen, plan: Generations, kind: Kind) -> None:
    """Refuse a generation that the store does not hold, and say which it holds."""
    own = [step for steps in plan for step in steps if step.model == chosen.step.model]
    ready = [str(step.generation) for step in own if _is_ready(step, kind)]
    if str(chosen.step.generation) in ready:
        return
    store, what = chosen.lab.store, "samples" if kind == "samples" else "weights"
    if chosen.record is None:
        reason = f"generation {chosen.step.generation} has no {what} yet: let the run go on"
    else:
        dropped = f" (store.keep={store.keep} drops those of earlier generations)" if store.keep != "all" else ""
        reason = (
            f"the {what} of generation {chosen.step.generation} are not in the store {store.root}{dropped}: {AGAIN}; "
            "or say where the store lies, by paths.store=…"
        )
    there = f"or give --generation with one that is there: {', '.join(ready)}" if ready else "no generation is there"
    raise UserError(f"{reason}; {there}")


def _is_ready(step: Step, kind: Kind) -> bool:
    return all(stage.ready for stage in step.samples.values()) if kind == "samples" else step.fit.ready
