"""Files that others write: COCO-family JSON, mmdet's pickles, embedding arrays."""
