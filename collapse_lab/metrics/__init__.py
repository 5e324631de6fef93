"""Compare generated with real features; `catalogue` describes every number that comes out of it.

This file imports nothing, because reports and results import `catalogue` and must not load torch.
"""
