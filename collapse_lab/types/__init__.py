"""The nouns of the laboratory, and the protocols that everything pluggable satisfies."""

from collapse_lab.types.data import (
    Captions,
    Conditions,
    Modality,
    RealData,
    Samples,
    Spec,
    Split,
    Tokens,
    Weights,
)
from collapse_lab.types.execution import Executor, FitRequest, SampleRequest
from collapse_lab.types.family import Budget, GenerativeModel, Progress
from collapse_lab.types.measures import Estimate, FeatureSet, Subject
from collapse_lab.types.protocols import (
    Curation,
    Dataset,
    Extractor,
    FittedExtractor,
    Metric,
    MixingPolicy,
    Probe,
    PromptSet,
    Sink,
)
from collapse_lab.types.provenance import REAL, UNBORN, DrawRequest, Provenance
from collapse_lab.types.ranges import (
    Count,
    Extended,
    Infinite,
    Natural,
    NonNegative,
    Positive,
    ProperShare,
    Share,
)
from collapse_lab.types.records import Record, RunInfo

__all__ = [
    "REAL",
    "UNBORN",
    "Budget",
    "Captions",
    "Conditions",
    "Count",
    "Curation",
    "Dataset",
    "DrawRequest",
    "Estimate",
    "Executor",
    "Extended",
    "Extractor",
    "FeatureSet",
    "FitRequest",
    "FittedExtractor",
    "GenerativeModel",
    "Infinite",
    "Metric",
    "MixingPolicy",
    "Modality",
    "Natural",
    "NonNegative",
    "Positive",
    "Probe",
    "Progress",
    "PromptSet",
    "ProperShare",
    "Provenance",
    "RealData",
    "Record",
    "RunInfo",
    "SampleRequest",
    "Samples",
    "Share",
    "Sink",
    "Spec",
    "Split",
    "Subject",
    "Tokens",
    "Weights",
]
