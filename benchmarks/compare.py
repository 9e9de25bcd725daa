"""Compares two files of results: largest difference of each array.

python benchmarks/compare.py CPU.npz CUDA.npz
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np


def differences(cpu: str, cuda: str) -> Iterator[tuple[str, float, float]]:
    """Name, largest difference and largest magnitude of each array of the file `cpu`.

    The difference is inf where the array is missing in `cuda` or has a different shape.
    """
    with np.load(cpu) as reference, np.load(cuda) as other:
        for name in reference.files:
            expected = reference[name].astype(np.float64)
            if name not in other.files or other[name].shape != expected.shape:
                yield name, float("inf"), 0.0
                continue
            gap = np.abs(other[name] - expected)
            yield name, float(gap.max(initial=0)), float(np.abs(expected).max(initial=0))


def main(cpu: str, cuda: str) -> None:
    for name, gap, scale in differences(cpu, cuda):
        print(f"{name:60} {gap:10.3g} of {scale:10.3g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
