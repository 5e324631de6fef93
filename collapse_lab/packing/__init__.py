"""Cells of one sweep as one program (`trainer.pack`): who runs when, what goes together, the program itself."""
