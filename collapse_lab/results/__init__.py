"""Compute results from ledgers: runs, the settings that differ between them, and statistics over seeds.

No module of this package draws a figure, judges a claim or imports torch. `report` draws the results, and `verify`
judges claims by them.
"""
