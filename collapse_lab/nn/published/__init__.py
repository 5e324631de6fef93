"""Classes that are copied into exported folders: each module stands alone, and imports nothing of this package."""
