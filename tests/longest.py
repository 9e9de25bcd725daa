"""The test files that take longest, longest first."""

from __future__ import annotations

LONGEST = (
    "pipelines/test_study.py",
    "formats/test_mutations.py",
    "ops/test_cuda_compiles.py",
    "pipelines/engine/test_mpi.py",
    "pipelines/traces/test_goldens.py",
    "ops/test_blocked_inference.py",
    "models/test_localization_network.py",
    "store/test_crash.py",
    "pipelines/engine/test_processes.py",
    "ops/test_blocked_maps.py",
    "pipelines/traces/test_nanodet_plus.py",
    "models/nanodet_plus/test_detector.py",
    "test_doc_commands.py",
    "training/test_together.py",
    "training/test_precision.py",
    "pipelines/detector/test_study_model.py",
    "models/nanodet_plus/test_training_parity.py",
    "backend/test_runtime.py",
    "export/test_closed_set.py",
)
"""Two files run at once (`make test`): one of these left for the end would keep a core idle."""
