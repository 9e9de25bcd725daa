"""Caches the results of Jittor's checks of its compiled core.

At each import Jittor 1.3.11 regenerates the sources of its bindings and hashes all its sources in a
pool of processes, to find that nothing needs compiling: 0.8 of 1.2 s of processor time. The result
is the same as long as its files (path, size, time) and the compile commands are unchanged.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unidet.backend import files
from unidet.backend.core_sources import with_mended

BINDINGS = "jittor.pyjt_compiler"


@contextmanager
def remembered(path: Path, jittor_folder: Path, mended: Mapping[Path, Path]) -> Iterator[str]:
    """Use around `import jittor`: skips steps recorded at `path`, and records those that ran.

    Args:
        path: the record, in the cache of this Jittor and compiler.
        jittor_folder: folder of the installed package.
        mended: Jittor's source -> patched source to compile instead (core_sources.py).

    Yields:
        A digest of the state of Jittor's own files.
    """
    import jittor_utils

    state = _state_of(jittor_folder)
    record = _read(path, state)
    before = json.dumps(record)
    bindings = _load_bindings(jittor_folder)
    generate, run_commands = bindings.compile, jittor_utils.run_cmds
    bindings.compile = _generating(generate, record)
    jittor_utils.run_cmds = _running(run_commands, record, mended)
    try:
        yield state
    finally:
        bindings.compile, jittor_utils.run_cmds = generate, run_commands
    if json.dumps(record) != before:
        files.write(path, json.dumps(record))


def _state_of(folder: Path) -> str:
    """A digest of paths, sizes and modification times of the files of Jittor's core."""
    sources = sorted([*(folder / "src").rglob("*"), *folder.glob("*.py")])
    lines = []
    for source in sources:
        about = source.stat()
        lines.append(f"{source} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read(path: Path, state: str) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["state"] == state:
            return record
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # missing or invalid: it is written again
    return {"state": state, "bindings": {}, "commands": {}}


def _load_bindings(folder: Path) -> Any:
    """Loads Jittor's module that generates bindings, before the package itself is imported."""
    spec = importlib.util.spec_from_file_location(BINDINGS, folder / "pyjt_compiler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[BINDINGS] = module
    spec.loader.exec_module(module)
    return module


def _generating(
    generate: Callable[[str, str], list[str]], record: dict[str, Any]
) -> Callable[[str, str], list[str]]:
    def remembered_sources(cache_path: str, jittor_path: str) -> list[str]:
        kept = record["bindings"].get(cache_path, [])
        if not kept or not all(Path(name).exists() for name in kept):
            kept = record["bindings"][cache_path] = generate(cache_path, jittor_path)
        return list(kept)

    return remembered_sources


def _running(
    run: Callable[..., None], record: dict[str, Any], mended: Mapping[Path, Path]
) -> Callable[..., None]:
    """Keeps only the last commands of each target: a later build overwrites its files."""

    def run_what_is_new(
        commands: Sequence[str], cache_path: str, jittor_path: str, target: str
    ) -> None:
        commands = with_mended(commands, mended)
        digest = hashlib.sha256("\n".join(commands).encode()).hexdigest()
        place = f"{cache_path} {target}"
        if record["commands"].get(place) != digest:
            run(commands, cache_path, jittor_path, target)
            record["commands"][place] = digest

    return run_what_is_new
