"""Ledgers as results: runs, the knobs that differ between them, and what may be computed from their numbers alone.

Nothing here draws, judges or imports torch: `report` draws it, `verify` judges by it.
"""
