"""collapse_lab: what becomes of generative models trained on data that generative models made."""

__version__ = "0.1.0"
