"""Declarations that new code is equivalent to earlier code, so that stages need not run again.

A declaration belongs to one stage and names two digests of its code. Results of the earlier code
then count as results of the new code, for all configurations.
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

from unidet.redaction import redact_command
from unidet.store.disk import clear_errors, make_folder, read_plain, sync
from unidet.store.disk import replace as replace_file
from unidet.store.hashing import key_of
from unidet.store.paths import Layout, check_digest
from unidet.store.plain_json import parse_record
from unidet.store.provenance import command, git_state, utc


@dataclass(frozen=True)
class Acceptance:
    """Declares that code with digest `code` gives the same results as code with digest `equals`.

    `time` is UTC in ISO 8601. `git` is the state of the new code's checkout.
    """

    stage: str
    code: str
    equals: str
    time: str
    host: str
    command: str
    git: Mapping[str, Any] | None


def accept(layout: Layout, stage: str, code: str, equals: str) -> Acceptance:
    """Declare new code equivalent; this replaces an earlier declaration about it.

    Raises:
        UserError: the store cannot be written.
    """
    now = utc(time.time())
    declared = Acceptance(stage, code, equals, now, socket.gethostname(), command(), git_state())
    with clear_errors(layout.root):
        make_folder(layout.base / "work")
        replace_file(_path(layout, stage, code), to_bytes(declared), layout.private(code))
    return declared


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
    """Follow the declarations from `code` to earlier code, one after the other."""
    seen = {code}
    while (declared := _read(_path(layout, stage, code))) and declared.equals not in seen:
        yield declared
        code = declared.equals
        seen.add(code)


def codes(layout: Layout, preimage: Mapping[str, Any]) -> list[str]:
    """The digest of the code of `preimage`, then those of code that was declared equivalent."""
    declared = chain(layout, preimage["stage"], preimage["code"])
    return [preimage["code"], *(acceptance.equals for acceptance in declared)]


def keys(layout: Layout, preimage: Mapping[str, Any]) -> list[str]:
    """The key of `preimage`, then its keys with code that was declared equivalent."""
    return [key_of({**preimage, "code": code}) for code in codes(layout, preimage)]


def everything(layout: Layout) -> list[Acceptance]:
    """All declarations, oldest first."""
    read = (_read(path) for path in layout.accepted.glob("*/*.json"))
    declared = [acceptance for acceptance in read if acceptance is not None]
    return sorted(declared, key=lambda acceptance: acceptance.time)


def to_bytes(declared: Acceptance) -> bytes:
    """The declaration as JSON text."""
    return json.dumps(asdict(declared), indent=1, sort_keys=True).encode() + b"\n"


def _path(layout: Layout, stage: str, code: str) -> Path:
    return layout.accepted / stage / f"{check_digest(code)}.json"


def read(path: Path) -> Acceptance:
    """The declaration in a file.

    Raises:
        ValueError: it is damaged, or lies in the place of another.
        OSError: it cannot be read.
    """
    declared = parse_record(Acceptance, read_plain(path))
    check_digest(declared.equals)
    if (declared.stage, declared.code) != (path.parent.name, path.stem):
        raise ValueError("a declaration in the place of another")
    # The first versions wrote commands with passwords.
    return replace(declared, command=redact_command(declared.command))


def _read(path: Path) -> Acceptance | None:
    try:
        return read(path)
    except (OSError, ValueError):
        return None
