"""Schema and composition of the configuration: frozen dataclasses, one per subtree of `conf/`.

A stage declares the subtrees that it reads.
"""
