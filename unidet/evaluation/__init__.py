"""Recall, COCO AP, LVIS AP and probability calibration, in numpy."""
