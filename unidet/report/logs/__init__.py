"""Reads training logs of unidet and of the official code of its detectors as tables."""
