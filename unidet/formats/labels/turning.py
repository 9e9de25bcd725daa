"""Turned boxes and ellipses, of which the labels take the upright box around."""

from __future__ import annotations

import math


def turned(
    points: list[tuple[float, float]], centre: tuple[float, float], degrees: float
) -> list[tuple[float, float]]:
    """Points rotated clockwise in the image around a centre."""
    if not degrees:
        return points
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    (x0, y0) = centre
    return [
        (
            x0 + (x - x0) * cosine - (y - y0) * sine,
            y0 + (x - x0) * sine + (y - y0) * cosine,
        )
        for x, y in points
    ]


def around_ellipse(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float
) -> tuple[float, float, float, float]:
    """The bounding box of an ellipse that is rotated around its centre."""
    (x, y), (first, second) = centre, radii
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    across = math.hypot(first * cosine, second * sine)
    down = math.hypot(first * sine, second * cosine)
    return x - across, y - down, x + across, y + down
