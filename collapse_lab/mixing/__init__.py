"""Provide the mixing policies, which choose the training rows of a generation from their provenance alone."""
