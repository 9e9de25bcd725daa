"""Records what large-vocab-devil's own scripts say of random problems, for test_fixed_ap.py.

python tests/evaluation/record_fixed_ap.py CHECKOUT_OF_LARGE_VOCAB_DEVIL

Runs scripts/evaluate_ap_{fixed,pooled}.py of github.com/achalddave/large-vocab-devil (6848c2e,
Apache 2.0) as they are; `np.float`, which the lvis package needs, and their logger are supplied.
"""

from __future__ import annotations

import json
import logging
import runpy
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
SEEDS = range(4)
MAX_PER_CATEGORY = 25


def main(checkout: str) -> None:
    sys.path[:0] = [checkout, str(HERE)]
    np.float = float  # type: ignore[attr-defined]
    logger = types.ModuleType("lvdevil.utils.logger")
    logger.setup_logger = lambda **_: logging.getLogger("lvdevil")  # type: ignore[attr-defined]
    sys.modules[logger.__name__] = logger
    from conftest import random_problem

    recorded = {}
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            truth, results = random_problem(seed, images=12, categories=8, detections=80)
            paths = []
            for name, document in (("truth", truth), ("results", results)):
                paths.append(Path(folder) / f"{name}.json")
                paths[-1].write_text(json.dumps(document))
            recorded[seed] = {
                name: run(Path(checkout) / "scripts" / f"evaluate_ap_{name}.py", *paths, folder)
                for name in ("fixed", "pooled")
            }
    (HERE / "fixed_ap.json").write_text(json.dumps(recorded, indent=1) + "\n")


def run(script: Path, truth: Path, results: Path, folder: str) -> dict[str, float]:
    """The script's metrics, as its evaluator holds them when it prints."""
    from lvdevil import eval_wrapper
    from lvis import LVISEval

    printed: list[dict[str, float]] = []

    def keep(evaluator: Any) -> None:
        printed.append({key: float(value) for key, value in evaluator.results.items()})

    arguments = [str(script), str(truth), str(results), folder, "--type", "bbox"]
    arguments += ["--dets-per-cat", str(MAX_PER_CATEGORY)]
    with (
        mock.patch.object(sys, "argv", arguments),
        mock.patch.object(LVISEval, "print_results", keep),
        mock.patch.object(eval_wrapper.LVISPooledEval, "print_results", keep),
    ):
        runpy.run_path(str(script), run_name="__main__")
    return {key: value for key, value in printed[0].items() if key.startswith("AP")}


if __name__ == "__main__":
    main(sys.argv[1])
