"""Choose the requests that are fulfilled next: together where they are alike, else one after another."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from collapse_lab.engine.arithmetic import choose_arithmetic
from collapse_lab.engine.executor import Alone
from collapse_lab.engine.keys import digest
from collapse_lab.packing.turns import Turn
from collapse_lab.types import FitRequest, SampleRequest

log = logging.getLogger(__name__)

PHASES = ("fit", "sample", "grid")
MAY_DIFFER = "guidance_scale"  # the argument in which models that are sampled together may differ


class Server:
    """Fulfil the requests of cells that take turns.

    A reason why requests cannot be packed is logged once, however many cells have it.
    """

    def __init__(self) -> None:
        self._announced: set[str] = set()

    def serve(self, asking: Sequence[Turn]) -> None:
        """Fulfil the requests of one or more of the cells.

        Each of these cells is charged an equal share of the wall time.

        Args:
            asking: cells, all of which are parked with a request.
        """
        requests = [turn.request for turn in asking if turn.request is not None]
        obstacles = [obstacle(request) for request in requests]
        for reason in {reason for reason in obstacles if reason} - self._announced:
            log.warning("trainer.pack: %s; such cells run one after the other", reason)
            self._announced.add(reason)
        keys = [None if reason else likeness(request) for request, reason in zip(requests, obstacles, strict=True)]
        chosen = furthest_behind([progress_of(request) for request in requests], keys)
        begun = time.perf_counter()
        outcomes = _fulfilled([requests[number] for number in chosen])
        seconds = (time.perf_counter() - begun) / len(chosen)
        for number, outcome in zip(chosen, outcomes, strict=True):
            asking[number].answer(outcome, seconds)


def progress_of(request: FitRequest | SampleRequest) -> tuple[int, int]:
    """Return how far the chain of a request is: the generation, and the number of the phase in `PHASES`."""
    if isinstance(request, FitRequest):
        return request.seeds.generation, PHASES.index("fit")
    return request.generation, PHASES.index(request.seeds.role.split("/")[0])


def furthest_behind(when: Sequence[tuple[int, int]], keys: Sequence[Hashable | None]) -> list[int]:
    """Return the numbers of the requests to fulfil next.

    They are the request of the chain that is furthest behind, and all that are like it. So a chain that is ahead waits
    until the others have caught up with it, and they go on together.

    Args:
        when: how far each chain is (`progress_of`).
        keys: equal for requests that may be fulfilled together; None for a request that is fulfilled alone.
    """
    first = min(range(len(when)), key=lambda number: when[number])
    if keys[first] is None:
        return [first]
    return [number for number, key in enumerate(keys) if key == keys[first]]


def obstacle(request: FitRequest | SampleRequest) -> str | None:
    """Return the reason why a request cannot be packed, None where it can.

    The reason is part of a warning that the user reads.
    """
    from torch import nn

    from collapse_lab.models.diffusion import Diffusion

    model, family = request.model, type(request.model).__name__
    if not isinstance(model, Diffusion):
        return f"{family} is no denoising model, and only denoising models can be packed"
    if not model.packs:
        return f"{family} trains on latents, and only models of pixels can be packed"
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()):
        return f"{family} has dropout, which would draw from a random stream that is not the cell's own"
    if len(model.state_dict()) != len(list(model.parameters())):
        return f"{family} has buffers or parameters that are used twice"
    if isinstance(request, FitRequest) and model.validates:
        return f"model.selection.every={model.selection.every} looks at one fit, and cannot be packed; null can"
    if isinstance(request, FitRequest) and request.budget.precision != "32-true":
        return f"trainer.precision={request.budget.precision} cannot be packed; 32-true can"
    if isinstance(request, FitRequest) and model.optimisation.finetune_state == "kept":
        return "model.optimisation.finetune_state=kept cannot be packed; reset can"
    if isinstance(request, FitRequest) and request.budget.accumulate > 1:
        return f"trainer.accumulate={request.budget.accumulate} cannot be packed; 1 can"
    if isinstance(request, FitRequest) and request.budget.devices > 1:
        return f"trainer.devices={request.budget.devices} cannot be packed; 1 can"
    if isinstance(request, SampleRequest) and model.sampler.options.get("thresholding"):
        return "model.sampler.options.thresholding looks at each image by itself, which a pack cannot"
    return None


def likeness(request: FitRequest | SampleRequest) -> str:
    """Return a text that is equal for requests that may be packed together.

    They have the same architecture, sizes and settings; seeds and data may differ.
    """
    model: Any = request.model
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    fields: Mapping[str, Any]
    if isinstance(request, FitRequest):
        # A schedule by epochs alone depends on the number of rows
        rows = request.budget.rows if model.optimisation.schedule(request.budget) == "cosine_epochs" else 0
        fields = {"budget": asdict(replace(request.budget, rows=rows)), "row": list(request.data.data.shape[1:])}
    else:
        fields = {
            "sampling": {name: value for name, value in request.sampling.items() if name != MAY_DIFFER},
            "n": len(request.conditions),
            "row": list(model.spec.shape),
            "device": str(model.device),
            "arithmetic": request.arithmetic,
        }
    kind = type(request).__name__
    return digest({"kind": kind, "model": request.identity, "shapes": shapes, **fields}, 32)


def _fulfilled(requests: Sequence[FitRequest | SampleRequest]) -> list[Any]:
    """Return what each request gives, or the exception that it raises."""
    if len(requests) > 1:
        try:
            return _packed(requests)
        except Exception as error:  # because one member alone may cause it, or all need too much memory
            log.warning("trainer.pack: %d at once failed (%s); they are done one after the other", len(requests), error)
    return [_alone(request) for request in requests]


def _packed(requests: Sequence[FitRequest | SampleRequest]) -> list[Any]:
    from collapse_lab.packing.stack import fit_together, sample_together

    fits = [request for request in requests if isinstance(request, FitRequest)]
    if fits:
        choose_arithmetic(fits[0].budget.arithmetic)  # because requests are alike, it is that of all
        return list(fit_together(fits))
    samples = [request for request in requests if isinstance(request, SampleRequest)]
    choose_arithmetic(samples[0].arithmetic)
    return list(sample_together(samples))


def _alone(request: FitRequest | SampleRequest) -> Any:
    try:
        return Alone().fit(request) if isinstance(request, FitRequest) else Alone().sample(request)
    except Exception as error:  # because it is raised in the cell that made the request
        return error
