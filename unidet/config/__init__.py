"""The schema of everything in `conf/`: frozen dataclasses, one per subtree.

A subtree is what a stage may declare to read.
"""
