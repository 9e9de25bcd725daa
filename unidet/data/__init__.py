"""Datasets: readers, transforms, samplers, the loader, and the toy world."""
