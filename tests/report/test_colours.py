"""Colours of categories: stable, distinct, also for colour-blind readers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from unidet.report.colours import CATEGORIES, colour_of, colours_of, is_light, score_colour

# Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])


def lab(colours: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(N, 3) CIELAB of (N, 3) sRGB in 0..255 as these eyes see them."""
    values = colours / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ seen.T, 0, 1) @ TO_XYZ.T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_all_pairs_are_told_apart(eyes: str) -> None:
    """CIE76 of 2.3 is just noticeable; twenty is plain at a glance."""
    seen = lab(np.array(CATEGORIES, float), SEEN_BY[eyes])
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 20


def test_a_name_has_one_colour() -> None:
    assert colour_of("star") == colour_of("STAR")
    assert colours_of(["star"]) == [colour_of("star")]
    assert colours_of(["star", "ring", "star"])[0] == colours_of(["star", "ring", "star"])[2]


def test_twelve_names_have_twelve_colours() -> None:
    names = [f"name {number}" for number in range(30)]
    assert len(set(colours_of(names)[:12])) == 12
    assert len(set(colours_of(names)[12:24])) == 12
    assert colours_of(names) == colours_of(names)


def test_text_is_black_on_light_colours() -> None:
    assert is_light((255, 255, 0))
    assert not is_light((0, 0, 160))


def test_scores_are_viridis() -> None:
    assert score_colour(0.0) == (68, 1, 84)
    assert score_colour(1.0) == (253, 231, 37)
