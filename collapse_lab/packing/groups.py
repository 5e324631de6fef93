"""Which requests are done next, and how: together where they are alike, else one after another."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from collapse_lab.packing.requests import Fit, Sampling
from collapse_lab.packing.turns import Turn
from collapse_lab.storage.store import stage_key

log = logging.getLogger(__name__)

OF_EACH = "guidance_scale"  # what the members of a pack may differ in while they are sampled


class Bench:
    """Answers cells that take turns. What keeps a family from being packed is said once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def serve(self, asking: Sequence[Turn]) -> None:
        """Does the requests of one group of cells."""
        requests = [turn.request for turn in asking if isinstance(turn.request, Fit | Sampling)]
        obstacles = [obstacle(each) for each in requests]
        for each in {each for each in obstacles if each} - self._told:
            log.warning("trainer.pack: %s; such cells run one after the other", each)
            self._told.add(each)
        keys = [None if each else likeness(request) for request, each in zip(requests, obstacles, strict=True)]
        chosen = furthest_behind([request.when for request in requests], keys)
        begun = time.perf_counter()
        outcomes = _done([requests[number] for number in chosen])
        seconds = (time.perf_counter() - begun) / len(chosen)
        for number, outcome in zip(chosen, outcomes, strict=True):
            asking[number].answer(outcome, seconds)


def furthest_behind(when: Sequence[tuple[int, int]], keys: Sequence[Hashable | None]) -> list[int]:
    """Numbers of the requests to do next: of the chain that is furthest behind, with all that are alike.

    So a chain that is ahead waits until the others have caught up with it, and they go on together.

    keys: equal for requests that may be done together; None for one that is done alone.
    """
    first = min(range(len(when)), key=lambda number: when[number])
    if keys[first] is None:
        return [first]
    return [number for number, key in enumerate(keys) if key == keys[first]]


def obstacle(request: Fit | Sampling) -> str | None:
    """Why a request cannot be done together with others, if it cannot."""
    from torch import nn

    from collapse_lab.models.diffusion import Diffusion

    model, family = request.model, type(request.model).__name__
    if not isinstance(model, Diffusion):
        return f"{family} is no denoising model, and no others can be packed"
    if any(isinstance(each, nn.Dropout) and each.p > 0 for each in model.modules()):
        return f"{family} has dropout, whose stream would not be the cell's own"
    if len(model.state_dict()) != len(list(model.parameters())):
        return f"{family} has buffers or parameters that are used twice"
    if isinstance(request, Fit) and request.budget.precision != "32-true":
        return f"trainer.precision={request.budget.precision} is not packed, 32-true is"
    if isinstance(request, Sampling) and model.sampler.options.get("thresholding"):
        return "model.sampler.options.thresholding looks at each image, and a pack has no such axis"
    return None


def likeness(request: Fit | Sampling) -> str:
    """Equal for requests of one architecture, sizes and settings, whatever their seeds, data and guidance."""
    model: Any = request.model
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    fields: Mapping[str, Any]
    if isinstance(request, Fit):
        fields = {"budget": asdict(request.budget), "row": list(request.data.data.shape[1:])}
    else:
        settings = request.part.sample_identity(request.generation)
        fields = {
            "sampling": {name: value for name, value in settings.items() if name != OF_EACH},
            "n": len(request.conditions),
            "row": list(model.spec.shape),
            "device": str(model.device),
        }
    return stage_key(type(request).__name__, {"model": request.part.fit_identity, "shapes": shapes, **fields})


def _done(requests: Sequence[Fit | Sampling]) -> list[Any]:
    """What each gives, or the exception that it raises."""
    if len(requests) > 1:
        try:
            return _packed(requests)
        except Exception as error:  # one member's own fault, or the memory of the device
            log.warning("trainer.pack: %d at once failed (%s); they are done one after the other", len(requests), error)
    return [_alone(request) for request in requests]


def _packed(requests: Sequence[Fit | Sampling]) -> list[Any]:
    from collapse_lab.packing.stack import fit_together, sample_together

    fits = [each for each in requests if isinstance(each, Fit)]
    if fits:
        return list(fit_together(fits))
    return list(sample_together([each for each in requests if isinstance(each, Sampling)]))


def _alone(request: Fit | Sampling) -> Any:
    try:
        return request.alone()
    except Exception as error:  # the cell's, which raises it
        return error
