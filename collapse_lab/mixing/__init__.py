"""Mixing policies: which rows the next generation trains on, decided from provenance alone."""
