"""Readers of external files: COCO-family JSON, mmdet's pickles, embedding arrays."""
