"""Time and peak memory of detection with many names, scored in blocks or all at once.

python benchmarks/names.py [NAMES …] [--images 20] [--regions 300]

Each case runs in its own process. Regions and embeddings are random and have 1,024 dimensions.
Soft-NMS and 300 detections per image are UniDetector's official settings. `at once` scores all
names in one block.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

DIMENSIONS = 1024


def measure(names: int, at_once: bool, images: int, regions: int) -> dict[str, float]:
    from unidet.evaluation import detections
    from unidet.evaluation.regions import Regions
    from unidet.evaluation.soft_nms import Suppression

    if at_once:
        detections.NAMES_AT_ONCE = names
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((names, DIMENSIONS), np.float32)
    text = detections.TextClassifier.of(vectors, np.arange(names))
    corners = rng.uniform(0, 400, (images, regions, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 200, corners.shape)], 2)
    vectors = rng.standard_normal((images, regions, DIMENSIONS), np.float32) / 32
    columns = zip(boxes.astype(np.float32), rng.uniform(0, 1, (images, regions)).astype(np.float32),
                  vectors.astype(np.float16), strict=True)  # fmt: skip
    regions_by_image = [Regions(number, *parts) for number, parts in enumerate(columns)]
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak memory
    before = resident("VmRSS")
    started = time.process_time()
    scorings = [detections.Scoring(0.3)]
    (detected,) = detections.detect(regions_by_image, text, scorings, Suppression())
    seconds = time.process_time() - started
    return {"seconds": seconds / images, "before": before, "peak": resident("VmHWM"),
            "sum": float(detected.scores.sum(dtype=np.float64))}  # fmt: skip


def resident(field: str) -> float:
    """A field of /proc/self/status, e.g. VmRSS (now) or VmHWM (peak), in MB."""
    match = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", type=int, default=[1203, 5000, 20_000])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--regions", type=int, default=300)
    parser.add_argument("--one", choices=("blocks", "at once"))
    options = parser.parse_args()
    sizes = (options.images, options.regions)
    if options.one:
        print(json.dumps(measure(options.names[0], options.one == "at once", *sizes)))
        return
    print("  names  how       s/image  MB before     peak MB  sum of scores")
    for names in options.names:
        for how in ("blocks", "at once"):
            command = [sys.executable, __file__, str(names), "--one", how, "--images",
                       str(options.images), "--regions", str(options.regions)]  # fmt: skip
            row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            print(f"{names:>7}  {how:<8}  {row['seconds']:>7.3f}  {row['before']:>9.0f}  "
                  f"{row['peak']:>10.0f}  {row['sum']:.6f}")  # fmt: skip


if __name__ == "__main__":
    main()
