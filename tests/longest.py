"""The test files that take longest, longest first."""

from __future__ import annotations

LONGEST = (
    "pipelines/test_study.py",
    "pipelines/engine/test_mpi.py",
    "models/test_localization_network.py",
    "ops/test_blocked_inference.py",
    "pipelines/engine/test_processes.py",
    "models/nanodet_plus/test_detector.py",
    "ops/test_blocked_maps.py",
    "training/test_precision.py",
    "pipelines/detector/test_study_model.py",
    "backend/test_runtime.py",
    "store/test_code.py",
    "test_doc_commands.py",
    "test_config.py",
)
"""Two files run at once (`make test`): one of these left for the end would keep a core idle."""
