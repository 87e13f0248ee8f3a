"""Batches, losses, the loop and its checkpoints: the same for every model."""
