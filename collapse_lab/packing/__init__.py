"""Fit and sample cells of one sweep as one program (`trainer.pack`)."""
