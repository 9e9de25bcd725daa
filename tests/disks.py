"""Disks that are full: for this process, as soon as a file grows; and those that fail."""

from __future__ import annotations

import builtins
import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def no_room(count: int = 0) -> Iterator[None]:
    """Meanwhile no file of this process or its children grows beyond `count` bytes (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fails_at(path: Path, patched: pytest.MonkeyPatch) -> None:
    """From now on the disk gives the content of this file no more (EIO)."""

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(given: Any, *more: Any, **options: Any) -> Any:
            if isinstance(given, str | Path) and Path(given) == path:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            return real(given, *more, **options)

        return opened

    for module in (builtins, os):
        patched.setattr(module, "open", failing(module.open))
