"""Access to S3 through s3fs, which gives up on a server that does not answer."""

from __future__ import annotations

from typing import Any

from fsspec.core import url_to_fs

PATIENCE = 20.0  # seconds to wait for one answer
ATTEMPTS = 3  # so a minute in all


def connect(url: str) -> tuple[Any, str]:
    """The file system of `s3://bucket/folder` and the folder on it.

    By default botocore would make five attempts of a minute, and s3fs would make each five times.
    """
    limits = {"connect_timeout": PATIENCE, "read_timeout": PATIENCE}
    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    system, folder = url_to_fs(
        url, skip_instance_cache=True, config_kwargs={**limits, "retries": retries}
    )
    system.retries = 1
    return system, folder
