"""Paths under the root of a store.

<root>/artefacts/<stage>-<digest12>/    files of an artefact: hard links, can be rebuilt
<root>/store/v1/
    blobs/sha256/ab/<sha256>            content, read-only
    actions/ab/<key>.json               record of an artefact, its only commit point
    actions/ab/<key>.differs/           records of other results for the same key
    work/<key>/                         checkpoints and finished shards of an unfinished run
    work/<key>.<host>-<pid>-<random>    private to one process: drafts, temporary files
    locks/                              one lock per key; `gc.lock`: one clean-up at a time
    refs/pins/<key>                     artefacts that `unidet gc` never drops
    refs/runs/<month>.jsonl             log of what commands requested
    refs/runs/<process>.live            keys in use by a running process, which locks this file
    refs/accepted/<stage>/<code>.json   code that was declared equivalent to earlier code
    trash/records/  trash/blobs/        dropped; deleted after a grace period
    stat-cache/                         caches, may be deleted
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_digest(text: str) -> str:
    """Return `text` if it is a SHA-256 in lower-case hexadecimal.

    Raises:
        ValueError: it is anything else, which must not become part of a path in the store.
    """
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not a sha256 digest")
    return text


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 in lower-case hexadecimal."""
    return bool(_DIGEST.fullmatch(text))


@dataclass(frozen=True)
class Layout:
    """Paths of one store; does not access the disk."""

    root: Path

    @property
    def base(self) -> Path:
        return self.root / "store" / "v1"

    @property
    def actions(self) -> Path:
        return self.base / "actions"

    @property
    def runs(self) -> Path:
        return self.base / "refs" / "runs"

    @property
    def pins(self) -> Path:
        return self.base / "refs" / "pins"

    @property
    def accepted(self) -> Path:
        return self.base / "refs" / "accepted"

    @property
    def artefacts(self) -> Path:
        return self.root / "artefacts"

    @property
    def trash(self) -> Path:
        return self.base / "trash"

    @property
    def dropped_records(self) -> Path:
        return self.trash / "records"

    @property
    def dropped_blobs(self) -> Path:
        return self.trash / "blobs"

    @property
    def blobs(self) -> Path:
        return self.base / "blobs" / "sha256"

    @property
    def stat_cache(self) -> Path:
        return self.base / "stat-cache"

    def blob(self, sha256: str) -> Path:
        check_digest(sha256)
        return self.blobs / sha256[:2] / sha256

    def record(self, key: str) -> Path:
        check_digest(key)
        return self.actions / key[:2] / f"{key}.json"

    def differing(self, key: str) -> Path:
        return self.record(key).with_suffix(".differs")

    def work(self, key: str) -> Path:
        return self.base / "work" / check_digest(key)

    def lock(self, key: str) -> Path:
        return self.base / "locks" / f"{check_digest(key)}.lock"

    @property
    def gc_lock(self) -> Path:
        return self.base / "locks" / "gc.lock"

    def pin(self, key: str) -> Path:
        return self.pins / check_digest(key)

    def artefact(self, stage: str, output: str) -> Path:
        return self.artefacts / f"{stage}-{check_digest(output)[:12]}"

    def private(self, key: str) -> Path:
        """A path that no other process on any machine uses."""
        return self.base / "work" / f"{check_digest(key)}.{_own_mark()}"

    def live(self) -> Path:
        """A path for the keys that this process uses; no other process uses the same path."""
        return self.runs / f"{_own_mark()}.live"


def _own_mark() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
