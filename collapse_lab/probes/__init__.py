"""Probes: each file measures something inside one fitted model."""
