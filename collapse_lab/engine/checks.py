"""Refuse what a run could not hold, fit or measure, before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from collapse_lab.engine.groups import Groups, is_grouped
from collapse_lab.engine.judging import check_judges
from collapse_lab.engine.lab import Lab
from collapse_lab.engine.measuring import is_between
from collapse_lab.engine.oversampling import enlarged
from collapse_lab.engine.view import gathers
from collapse_lab.errors import UserError
from collapse_lab.memory import require
from collapse_lab.sizes import Sizes, check_stages
from collapse_lab.types import Comparison, Conditions, GenerativeModel, Modality, Prospect, Rows, Samples, Spec, Split

STORED: Mapping[Modality, int] = {"image": 1, "points": 8, "tokens": 8}  # bytes of a number of a row that is kept
TRAINED: Mapping[Modality, int] = {"image": 12, "points": 8, "tokens": 8}  # in a batch: rows, noise and prediction
CONDITION = 16  # bytes of a row's label and caption


def check_run(lab: Lab, models: Mapping[str, GenerativeModel]) -> None:
    """Refuse a run that does not fit into the memory, or whose numbers could not be computed at its end.

    Args:
        lab: the run.
        models: a model of each member, built and neither fitted nor loaded.

    Raises:
        UserError: a size takes more memory than there is; no later generation would be trained; a prompt set has too
            few rows to compare with; a metric, a probe or the curation refuses the run (`check_run` of
            `collapse_lab.types`).
    """
    check_sizes(lab, mapped=all(map(_maps, models.values())))
    if any(model.validates for model in lab.models):
        _ = lab.validation  # because it refuses a data set without validation rows
    check_judges(lab)
    refuse(lab.curation, "curation", lab.dataset.spec)
    for subset in lab.prompts.sets:
        masks = dict(zip(("train", "reference"), lab.members_of(subset), strict=True))
        _check_metrics(lab, subset, masks)
        conditions = lab.conditions(subset, _most(lab.n_samples))
        for name, model in models.items():
            _check_accumulate(lab, name, model)
            _check_devices(lab, name, model)
            _check_pictures(subset, conditions, model)
            _ask(model, "check_prompts", f"prompt set '{subset}'", conditions.captions.table)
            prospect = Prospect(lab.dataset.spec, model, int(masks["reference"].sum()), _least(lab.n_samples))
            for probe_name, (probe, _) in lab.probes.items():
                where = f"probes.{probe_name} of prompt set '{subset}'"
                refuse(probe, where if len(models) == 1 else f"{where} and member '{name}'", prospect)
    for name, model in models.items():
        _check_steps(lab, name, model)
        wanted = lab.conditions(lab.generated_by(name), _least(lab.n_samples))
        _ask(lab.curation, "check_conditions", "curation", enlarged(lab.curation, wanted))


def _check_pictures(subset: str, conditions: Conditions, model: GenerativeModel) -> None:
    """Refuse pictures to start from for a family that would ignore them."""
    gives = conditions.context is not None and conditions.context.dtype == torch.uint8
    if gives and not getattr(model, "starts_from_pictures", False):
        raise UserError(
            f"prompt set '{subset}' gives pictures that samples start from, and {type(model).__name__} starts from "
            "noise alone: give model=stable_diffusion, or prompts=all"
        )


def check_sizes(lab: Lab, mapped: bool = False) -> None:
    """Refuse rows and batches that do not fit into the memory, and a plan that would take minutes.

    Args:
        lab: the run.
        mapped: whether every family reads pictures from mapped files and writes them there, so that their labels and
            captions alone are in memory.

    Raises:
        UserError: too many fits and samplings, too many samples, too large a training set, or too large a batch.
    """
    spec = lab.dataset.spec
    pictures = 2 if spec.modality == "image" else 1  # a grid beside the samples of each prompt set
    check_stages(lab.generations, len(lab.models) * (1 + pictures * len(lab.prompts.sets)))
    numbers, shape = math.prod(spec.shape), " x ".join(map(str, spec.shape))
    row = CONDITION + (0 if mapped and spec.modality == "image" else numbers * STORED[spec.modality])
    smaller = {"image": "dataset.image_size", "points": "model.replicas", "tokens": "dataset.block"}[spec.modality]
    for name, sizes in (("n_samples", lab.n_samples), ("n_train", lab.n_train)):
        require(_most(sizes) * row, f"{name}={_most(sizes)} rows of {shape}", f"lower {name} or {smaller}")
    batch, parts = getattr(lab.training, "batch_size", 0), getattr(lab.training, "accumulate", 1)
    scores = 4 * numbers * spec.tokens.size if spec.tokens else 0  # a language model scores every token at every place
    need = batch // parts * (numbers * TRAINED[spec.modality] + scores)
    require(
        need, f"trainer.batch_size={batch} rows of {shape}", "lower trainer.batch_size, or raise trainer.accumulate"
    )


def _check_steps(lab: Lab, name: str, model: GenerativeModel) -> None:
    """Refuse fits of no step after a member's first generation, because each would be the model that it starts from."""
    population = lab.population
    member = population.names.index(name)
    later = population.first_generation(member) + 1
    if later > lab.generations or not population.is_present(member, later) or not _steps(model):
        return
    retrains = population.retrains(member)
    if lab.training.budget(retrains, _least(lab.n_train), lab.device).steps:
        return
    lineage = population.lineages[name]
    if retrains:
        raise UserError(
            f"generations after the first one of '{name}' would be fitted for 0 steps (trainer.finetune_steps, or "
            "trainer.steps where that is null), so that nothing is trained on; give trainer.finetune_steps=1 or more"
        )
    raise UserError(
        f"population.lineage={lineage} fits every generation of '{name}' for trainer.steps, which is 0, so that no "
        "generation is trained; give population.lineage=first, which begins every later fit from generation 0 and "
        "takes trainer.finetune_steps, or trainer.steps=1 or more"
    )


def _steps(model: GenerativeModel) -> bool:
    """Return whether a family is trained by optimiser steps."""
    return bool(getattr(model, "automatic_optimization", False))  # that of Lightning


def _check_accumulate(lab: Lab, name: str, model: GenerativeModel) -> None:
    """Refuse steps in parts for a family that has no such steps."""
    parts = getattr(lab.training, "accumulate", 1)
    if parts > 1 and not _steps(model):
        raise UserError(
            f"trainer.accumulate={parts} computes the rows of an optimiser step in parts, and {type(model).__name__} "
            f"('{name}') is not trained by such steps; give trainer.accumulate=1"
        )


def _check_devices(lab: Lab, name: str, model: GenerativeModel) -> None:
    """Refuse several processes for a family whose fit cannot be divided."""
    devices = getattr(lab.training, "devices", 1)
    if devices > 1 and not getattr(model, "divides", False):
        raise UserError(
            f"trainer.devices={devices} divides the rows of an optimiser step over processes, and the fit of "
            f"{type(model).__name__} ('{name}') cannot be divided; give trainer.devices=1, or a family that can: "
            "ddpm, ddim, text2image, stable_diffusion, vae, causal_lm"
        )


def _maps(model: GenerativeModel) -> bool:
    return gathers(model) and bool(getattr(model, "allocates", False))


def refuse(plug: Any, where: str, known: Spec | Prospect | Comparison) -> None:
    """Ask an object that may have a method `check_run` whether it suits what is known of the run.

    Raises:
        UserError: it does not; the message begins with `where`.
    """
    _ask(plug, "check_run", where, known)


def _ask(plug: Any, method: str, where: str, known: Any) -> None:
    """Call an optional method of an object, and put `where` before its refusal.

    Raises:
        UserError: the method refuses.
    """
    ask: Callable[[Any], None] | None = getattr(plug, method, None)
    if ask is None:
        return
    try:
        ask(known)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _check_metrics(lab: Lab, subset: str, masks: Mapping[str, np.ndarray]) -> None:
    """Refuse metrics that do not admit the rows of a prompt set."""
    if not lab.extractors:
        return
    count = int(masks["reference"].sum())
    if count < 2:
        raise UserError(too_few(subset, count))
    for name, (metric, _) in lab.metrics.items():
        if is_between(metric):
            if len(lab.models) < 2:
                raise UserError(
                    f"metrics.{name} compares the members of a population with each other, and there is one: leave it "
                    "out of metrics=[…], or give population.members"
                )
            continue
        real, other = (masks[metric.against], masks["train" if metric.against == "reference" else "reference"])
        groups = Groups(lab, subset, _least(lab.n_samples)).count if is_grouped(metric) else 1
        if lab.drifts(subset) and metric.against == "reference":
            n = _least(lab.n_samples)
            refuse(metric, f"metrics.{name} of prompt set '{subset}'", Comparison(n, n, True, groups))
            continue
        varied = callable(getattr(metric, "check_run", None)) and _varied(lab, metric.against, real)
        sizes = [_least(lab.n_samples), *([min(_least(lab.n_samples), int(other.sum()))] if metric.floored else [])]
        for generated in sizes:
            where = f"metrics.{name} of prompt set '{subset}'"
            refuse(metric, where, Comparison(generated, int(real.sum()), varied, groups))


def too_few(subset: str, count: int) -> str:
    """Return the message about a prompt set with too few reference rows."""
    return (
        f"prompt set '{subset}' has {count} reference rows, and a comparison takes 2 or more; give a larger set, or a "
        "larger dataset.reference_fraction"
    )


def _varied(lab: Lab, split: Split, mask: np.ndarray) -> bool:
    """Return whether some rows of a split differ from each other."""
    rows: Samples[Rows] = getattr(lab.real, split)
    first, *others = np.flatnonzero(mask).tolist() or [0]
    pattern = rows.data[first : first + 1]
    # Row by row, because the second row of real data nearly always differs, and a mask would copy all of them
    return any(bool((rows.data[other : other + 1] != pattern).any()) for other in others)


def _most(sizes: Sizes) -> int:
    return sizes if isinstance(sizes, int) else max(sizes)


def _least(sizes: Sizes) -> int:
    return sizes if isinstance(sizes, int) else min(sizes)
