"""Lengths of vectors."""

from __future__ import annotations

import jittor as jt


def l2_normalize(vectors: jt.Var, dim: int | tuple[int, ...]) -> jt.Var:
    """`vectors` along `dim` at length 1; a zero vector stays zero (torch `F.normalize`, eps 1e-12).

    The floor lies under the square root, where it also keeps the gradient at a zero vector finite.
    """
    squares = (vectors * vectors).sum(dim, keepdims=True)
    return vectors / jt.sqrt(jt.maximum(squares, 1e-24))
