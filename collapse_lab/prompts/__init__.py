"""Prompt sets: a prompt set says which real rows belong to it and which prompts are sampled for it."""

from collapse_lab.prompts.base import Everything, Prompts
from collapse_lab.prompts.continuation import Continuation
from collapse_lab.prompts.domain import Domain
from collapse_lab.prompts.file import File
from collapse_lab.prompts.held_out import HeldOut
from collapse_lab.prompts.inputs import Inputs
from collapse_lab.prompts.labels import Labels
from collapse_lab.prompts.listed import Listed
from collapse_lab.prompts.pictures import Pictures
from collapse_lab.prompts.template import Template
from collapse_lab.prompts.words import Words

__all__ = [
    "Continuation",
    "Domain",
    "Everything",
    "File",
    "HeldOut",
    "Inputs",
    "Labels",
    "Listed",
    "Pictures",
    "Prompts",
    "Template",
    "Words",
]
