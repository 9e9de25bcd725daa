"""Pins: artefacts that no clean-up drops, including all their inputs."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from unidet.redaction import redact_command
from unidet.store.disk import clear_errors, create_once, make_folder, read_plain, sync
from unidet.store.paths import Layout, is_digest
from unidet.store.plain_json import parse_record
from unidet.store.provenance import command, utc
from unidet.store.record import Action


@dataclass(frozen=True)
class Pin:
    """A pinned artefact, with the time (UTC, ISO 8601), host and command that pinned it.

    `label` is its stage and dataset, `output` its digest.
    """

    key: str
    label: str
    output: str
    time: str
    host: str
    command: str


def pin(layout: Layout, action: Action) -> bool:
    """Pin an artefact; returns False if it was already pinned.

    Raises:
        UserError: the store cannot be written.
    """
    now, host = utc(time.time()), socket.gethostname()
    mark = Pin(action.key, action.label, action.output, now, host, command())
    with clear_errors(layout.root):
        make_folder(layout.base / "work")
        data = json.dumps(asdict(mark)).encode() + b"\n"
        return create_once(layout.pin(action.key), data, layout.private(action.key))


def unpin(layout: Layout, key: str) -> bool:
    """Remove the pin of an artefact, or of one that is gone; returns whether there was one.

    Raises:
        UserError: the store cannot be written.
    """
    with clear_errors(layout.root):
        try:
            os.unlink(layout.pin(key))
        except FileNotFoundError:
            return False
        sync(layout.pins)
    return True


def pinned(layout: Layout) -> set[str]:
    """Keys of all pins. Only file names are read, so that a damaged pin still protects."""
    try:
        names = os.listdir(layout.pins)
    except FileNotFoundError:
        return set()
    return {name for name in names if is_digest(name)}


def pins(layout: Layout) -> list[Pin]:
    """All pins, newest first."""
    found = [_read(layout.pin(key)) for key in pinned(layout)]
    return sorted(found, key=lambda one: one.time, reverse=True)


def is_lost(layout: Layout, mark: Pin) -> bool:
    """Whether its artefact has no record here any more: it was lost, or set aside by a repair."""
    return not os.path.lexists(layout.record(mark.key))


def _read(path: Path) -> Pin:
    try:
        mark = parse_record(Pin, read_plain(path))
        # Its name is what protects. The commands of the first pins contain passwords.
        return replace(mark, key=path.name, command=redact_command(mark.command))
    except (OSError, ValueError):
        return Pin(path.name, "", "", "", "", "")
