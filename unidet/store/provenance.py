"""Provenance that is recorded of a run in addition to its key: process, packages, git state."""

from __future__ import annotations

import functools
import os
import resource
import shlex
import socket
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from unidet.redaction import redact_argument


def of_this_process() -> dict[str, Any]:
    """The fields of a record that describe the current process."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": command(),
        "peak_rss": peak_rss(),
        "git": git_state(),
        "freeze": freeze(),
    }


def utc(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")


def command() -> str:
    """The command line as it can be typed again, without passwords."""
    name, *arguments = sys.argv or [""]
    return shlex.join([os.path.basename(name or "python"), *map(redact_argument, arguments)])


def peak_rss() -> int:
    """Peak memory in bytes of this process or of its largest child."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return max(resource.getrusage(one).ru_maxrss for one in who) * unit


@functools.cache
def freeze() -> dict[str, str]:
    """Installed packages and their versions."""
    found = ((item.metadata["Name"], item.version) for item in distributions())
    return dict(sorted((name, version) for name, version in found if name))


@functools.cache
def git_state() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that this code runs from; None if it is installed.

    This is read once per process, since a process runs the code that it has loaded.
    """
    package = Path(__file__).resolve().parents[1]
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "HEAD")
    changed = _git(package, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # Ctrl-C would end it too, and look like no checkout
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
