"""The precision that networks train in, as stages are given it."""

from __future__ import annotations

from typing import Any

from unidet.config.study import Config
from unidet.config.training import Precision
from unidet.pipelines.engine.stage import Job


def precision_settings(config: Config) -> dict[str, Any]:
    """Settings of a stage that trains; nothing for float32, whose keys know of no other."""
    precision = config.runtime.precision
    return {} if precision == "float32" else {"runtime": {"precision": precision}}


def precision_of(job: Job) -> Precision:
    """What `precision_settings` has given."""
    return job.settings.get("runtime", {}).get("precision", "float32")
