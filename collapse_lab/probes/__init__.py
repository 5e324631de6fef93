"""Looks inside one fitted model, one file each."""
