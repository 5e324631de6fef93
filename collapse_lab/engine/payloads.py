"""Samples and features as payloads of stages, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from collapse_lab.engine.view import View
from collapse_lab.storage.store import Payload
from collapse_lab.types import Captions, Conditions, FeatureSet, GenerativeModel, Rows, Samples

OPTIONAL = ("predicted", "texts")  # what not every extractor gives, in the order of FeatureSet


def samples_to_payload(samples: Samples) -> Payload:
    """Return samples as a stage's payload."""
    tensors = {"data": samples.data, "labels": torch.from_numpy(samples.labels)}
    if samples.captions.table:
        tensors["captions"] = torch.from_numpy(samples.captions.index)
    return Payload(tensors, {"captions": list(samples.captions.table)})


def samples_of(payload: Payload) -> Samples:
    """Return the samples that a payload holds."""
    table = tuple(payload.meta["captions"])
    captions = Captions(table, payload.tensors["captions"].numpy()) if table else Captions()
    return Samples(payload.tensors["data"], payload.tensors["labels"].numpy(), captions)


def started_from(conditions: Conditions, model: GenerativeModel) -> dict[str, Any]:
    """Return which training row each sample starts from and how strongly it is changed, for a payload's meta.

    Returns:
        `rows`, n numbers of rows of the training split, and `strength`; empty where samples start from nothing real.
    """
    strength = getattr(model, "strength", 1)
    if conditions.rows is None or strength == 1:
        return {}
    return {"rows": conditions.rows.tolist(), "strength": strength}


def rows_of(payload: Payload) -> Samples[Rows]:
    """Return the samples that a payload holds as rows that are gathered from their file when they are asked for."""
    samples = samples_of(payload)
    return Samples(View.of(samples.data, payload.file), samples.labels, samples.captions)


def features_to_payload(features: FeatureSet) -> Payload:
    """Return a feature set as a stage's payload."""
    tensors = {"values": features.values, "labels": features.labels}
    tensors |= {name: value for name in OPTIONAL if (value := getattr(features, name)) is not None}
    return Payload(tensors)


def features_of(payload: Payload) -> FeatureSet:
    """Return the feature set that a payload holds."""
    tensors = payload.tensors
    return FeatureSet(tensors["values"], tensors["labels"], *(tensors.get(name) for name in OPTIONAL))


def take(features: FeatureSet, rows: np.ndarray) -> FeatureSet:
    """Return some rows of a feature set, in the order of their numbers; all rows in their order are not copied."""
    if len(rows) == len(features.values) and np.array_equal(rows, np.arange(len(rows))):
        return features
    index = torch.from_numpy(rows)
    optional = (getattr(features, name) for name in OPTIONAL)
    chosen = (None if values is None else values[index] for values in optional)
    return FeatureSet(features.values[index], features.labels[index], *chosen)
