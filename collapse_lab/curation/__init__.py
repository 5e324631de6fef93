"""Provide the curation steps, which act on generated samples before the samples enter the pool."""
