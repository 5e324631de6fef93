"""Embed samples in the feature spaces that metrics compare."""
