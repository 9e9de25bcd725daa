"""Normalization of vectors."""

from __future__ import annotations

import jittor as jt


def l2_normalize(vectors: jt.Var, dim: int | tuple[int, ...]) -> jt.Var:
    """Scale `vectors` along `dim` to length 1; a zero vector stays zero.

    Same as torch `F.normalize` with eps 1e-12. The floor is applied before the square root, so that
    the gradient at a zero vector is finite.
    """
    squares = (vectors * vectors).sum(dim, keepdims=True)
    return vectors / jt.sqrt(jt.maximum(squares, 1e-24))
