"""Checkpoints: reading and writing without PyTorch, and maps between names."""
