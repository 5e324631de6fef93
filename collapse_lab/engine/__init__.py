"""The engine: the plan of a run as stages with keys, and the loop that walks it."""
