"""Declarations that new code is equivalent to earlier code, so that nothing has to run again.

A declaration concerns one stage and joins two digests of its code: results that the earlier code
made answer for the new code too, under every configuration.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unidet.store.disk import clear_errors, make_folder, read_plain, sync
from unidet.store.disk import replace as replace_file
from unidet.store.hashing import key_of
from unidet.store.paths import Layout, check_digest
from unidet.store.plain_json import parse_record
from unidet.store.provenance import command, git_state, redact_command, utc


@dataclass(frozen=True)
class Acceptance:
    """The code with digest `code` gives what the code with digest `equals` gave.

    `time` is UTC, ISO 8601; `git` is the state of the new code's checkout.
    """

    stage: str
    code: str
    equals: str
    time: str
    host: str
    command: str
    git: Mapping[str, Any] | None


def accept(layout: Layout, stage: str, code: str, equals: str) -> Acceptance:
    """Declare new code equivalent; an earlier declaration about it gives way.

    Raises:
        UserError: the store cannot be written.
    """
    now = utc(time.time())
    one = Acceptance(stage, code, equals, now, socket.gethostname(), command(), git_state())
    with clear_errors(layout.root):
        make_folder(layout.base / "work")
        replace_file(_path(layout, stage, code), to_bytes(one), layout.private(code))
    return one


def revoke(layout: Layout, stage: str, code: str) -> bool:
    """Withdraw a declaration; returns whether there was one.

    Raises:
        UserError: the store cannot be written.
    """
    path = _path(layout, stage, code)
    with clear_errors(layout.root):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        sync(path.parent)
    return True


def chain(layout: Layout, stage: str, code: str) -> Iterator[Acceptance]:
    """Declarations that lead from `code` back to earlier and earlier code."""
    seen = {code}
    while (found := _read(_path(layout, stage, code))) and found.equals not in seen:
        yield found
        code = found.equals
        seen.add(code)


def keys(layout: Layout, preimage: Mapping[str, Any]) -> list[str]:
    """The key of `preimage`, then its keys under code that counts as equivalent."""
    found = [key_of(preimage)]
    for one in chain(layout, preimage["stage"], preimage["code"]):
        found.append(key_of({**preimage, "code": one.equals}))  # noqa: PERF401
    return found


def everything(layout: Layout) -> list[Acceptance]:
    """All declarations, oldest first."""
    found = (_read(path) for path in layout.accepted.glob("*/*.json"))
    return sorted((one for one in found if one is not None), key=lambda one: one.time)


def to_bytes(one: Acceptance) -> bytes:
    """The declaration as JSON text."""
    return json.dumps(asdict(one), indent=1, sort_keys=True).encode() + b"\n"


def _path(layout: Layout, stage: str, code: str) -> Path:
    return layout.accepted / stage / f"{check_digest(code)}.json"


def _read(path: Path) -> Acceptance | None:
    try:
        found = parse_record(Acceptance, read_plain(path))
        check_digest(found.equals)
        found = replace(found, command=redact_command(found.command))  # which the first were not
    except (OSError, ValueError):
        return None
    return found if (found.stage, found.code) == (path.parent.name, path.stem) else None
