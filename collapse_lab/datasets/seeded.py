"""Pictures that a text-to-image pipeline makes from the user's own, group by group: the seed images of a chain."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from collapse_lab.datasets.base import ImageDataset, LabelledImages
from collapse_lab.datasets.captions import captions_of
from collapse_lab.datasets.decoded import Arrays, DecodedPictures, Recipe
from collapse_lab.datasets.imagefolder import ImageFolder
from collapse_lab.errors import UserError
from collapse_lab.seeds import Seeds
from collapse_lab.storage.mapped import MappedFile
from collapse_lab.types import Captions, Count, Positive, Share, Whole

if TYPE_CHECKING:
    from collapse_lab.nn.image_to_image import ImageToImage
    from collapse_lab.nn.pipeline import PipelineFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seeding:
    """Say which source a picture is made of.

    Attributes:
        row: the row of the source in the table.
        turn: how many pictures were made of the same source before.
    """

    row: int
    turn: int


@dataclass(kw_only=True, eq=False)
class Seeded(ImageDataset):
    """Make `per_group` pictures of each group by image-to-image from the pictures of a folder (arXiv:2311.12202).

    The sources of a group are drawn without replacement; where there are fewer than `per_group`, they take turns, each
    time with other noise. The prompt of a picture is the caption of its source. Pictures are made once: they lie in
    files below `cache`, a group after the other, so that a run that is stopped keeps the groups that are done. The
    licence is that of the user's pictures and of the pipeline.

    Args:
        root: folder of the sources with a table, as `ImageFolder` takes it.
        label_column: column of the group, such as "young asian woman". Each source has one.
        caption_column: column of the prompts. None makes the prompts of the templates and the groups.
        pretrained: a folder of a pipeline, of Stable Diffusion 1.x, 2.x or SDXL, or "owner/name" on the hub.
        revision: the commit of a name on the hub.
        download: whether files that are not in the cache are fetched from the hub.
        per_group: pictures of each group.
        strength: the share of the noising process that a source goes through, in (0, 1]; 1 keeps nothing of it.
        steps: the steps of the whole process.
        guidance_scale: w in eps_uncond + w (eps_cond - eps_uncond).
        seed: of the choice of sources and of the noise. It is not the seed of a run, because all runs have to compare
            with the same rows.
        batch: pictures that are made at a time.
        device: auto, cpu or cuda.
        cache: folder where decoded and made pictures are kept.

    The other arguments are those of `ImageDataset`.

    Raises:
        UserError: when an argument is out of its range, sources have no group or no prompt, a prompt is too long, the
            pipeline is refused or does not take pictures of this size, or `strength` leaves no step.
    """

    root: str
    label_column: str | None = None
    caption_column: str | None = "text"
    pretrained: str | None = None
    revision: str | None = None
    download: bool = False
    per_group: Count = 30
    strength: Share = 0.6
    steps: Count = 50
    guidance_scale: Positive = 7.5
    seed: Whole = 0
    batch: Count = 8
    device: Literal["auto", "cpu", "cuda"] = "auto"
    cache: str = "~/.cache/collapse_lab"

    location_arguments: ClassVar[frozenset[str]] = frozenset(
        {"root", "cache", "pretrained", "revision", "download", "device"}
    )
    unsigned: ClassVar[frozenset[str]] = frozenset({"cache", "download", "device"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label_column is None:
            raise UserError(
                "dataset=seeded makes as many pictures of each group: give dataset.label_column, the column of the "
                "table that names the group of a picture"
            )
        if self.caption_column is None and not self.templates:
            raise UserError(
                "dataset=seeded makes pictures under prompts: give dataset.caption_column, or dataset.templates such "
                "as ['a photo of {a}']"
            )
        if int(self.strength * self.steps) < 1:
            raise UserError(
                f"dataset.strength={self.strength} of dataset.steps={self.steps} leaves no step: raise one of them"
            )
        self._source = ImageFolder(
            root=self.root,
            label_column=self.label_column,
            caption_column=self.caption_column,
            image_size=self.image_size,
            templates=self.templates,
            cache=self.cache,
        )
        self.sources: list[str] = []

    def contents(self) -> Mapping[str, Any]:
        """Return what identifies the sources and the pipeline."""
        return {**self._source.contents(), "pipeline": self._pipeline.checksum}

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Return the shape of a source."""
        return self._source.native_shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the groups."""
        return self._source.classes

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Return every prompt of the sources of the groups that are kept."""
        if self.caption_column is None:
            return super().vocabulary
        return tuple(sorted(set(np.asarray(self._source.texts, object)[self.keeps(self._source.labelled[0])])))

    def read(self) -> LabelledImages:
        """Return the pictures, group after group; `sources` then has the name of the source of each."""
        chosen = [seeding for group in self._groups for seeding in group]
        made = self._files("all")
        images, _ = made.obtain((), lambda: Recipe((len(chosen), *self.picture_shape), self._gather))
        rows = np.array([seeding.row for seeding in chosen])
        names = [name for name, _ in self._source.pictures()]
        self.sources = [names[row] for row in rows]
        return LabelledImages(
            images, self._source.labelled[0][rows], self._prompts.take(rows), None, MappedFile.of(made.pixels)
        )

    @cached_property
    def _pipeline(self) -> PipelineFolder:
        from collapse_lab.nn.pretrained import find_pipeline

        folder = find_pipeline(self.pretrained, self.revision, self.download, self.cache, "dataset=seeded")
        _, height, width = self.picture_shape
        if height % folder.factor or width % folder.factor:
            raise UserError(
                f"the VAE of {folder.path} shrinks sides by {folder.factor}, and {height}x{width} is not divisible by "
                "it; give another dataset.image_size"
            )
        return folder

    @cached_property
    def _prompts(self) -> Captions:
        """Return the prompt of each source."""
        if self.caption_column is not None:
            return Captions.of(self._source.texts)
        made = captions_of(self._source.labelled[0], self.templates, self.classes)
        assert made is not None
        return made

    @cached_property
    def _groups(self) -> list[list[Seeding]]:
        """Return the sources of the pictures of each group."""
        return [self._group(label) for label in range(len(self.classes))]

    def _group(self, label: int) -> list[Seeding]:
        rows = np.flatnonzero(self._source.labelled[0] == label)
        order = self._seeds.child(f"group/{self.classes[label]}").numpy().permutation(rows)
        return [Seeding(int(order[i % len(order)]), i // len(order)) for i in range(self.per_group)]

    @property
    def _seeds(self) -> Seeds:
        return Seeds(self.seed, 0, "real", "seeding")

    def _files(self, part: str) -> DecodedPictures:
        identity = json.dumps([self.decoded_from("label_column"), list(self.templates), part])
        return DecodedPictures(self.cache, type(self).__name__, identity)

    def _gather(self, block: np.ndarray) -> tuple[int, Arrays]:
        """Write the pictures of all groups, which are made here or were made by a run that was stopped."""
        first = 0
        for number, group in enumerate(self._groups):
            part = self._files(f"group {number}")
            images, _ = part.obtain((), lambda group=group: self._recipe(group))  # type: ignore[misc]
            block[first : first + len(group)] = images
            first += len(group)
            log.info("%d of %d groups of seed images are there", number + 1, len(self._groups))
        vars(self).pop("_image_to_image", None)  # because the model of the run needs the memory
        return first, {}

    @cached_property
    def _image_to_image(self) -> ImageToImage:
        import torch

        from collapse_lab.nn.image_to_image import ImageToImage

        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        return ImageToImage(self._pipeline, self.strength, self.steps, self.guidance_scale, device)

    def _recipe(self, group: list[Seeding]) -> Recipe:
        import torch

        pipeline, sources = self._image_to_image, self._source.read().images

        def fill(block: np.ndarray) -> tuple[int, Arrays]:
            for at in range(0, len(group), self.batch):
                part = group[at : at + self.batch]
                rows = np.array([seeding.row for seeding in part])
                noises = [self._seeds.child(f"{seeding.row}/{seeding.turn}").torch() for seeding in part]
                block[at : at + len(part)] = pipeline(
                    torch.from_numpy(sources[rows]), self._prompts.take(rows).texts(), noises
                )
            return len(group), {}

        return Recipe((len(group), *self.picture_shape), fill)
