"""The record of one action: its key, its files and its provenance."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any
from unicodedata import normalize

from unidet.redaction import redact_command
from unidet.store.hashing import key_of, output_digest, sha256_bytes
from unidet.store.paths import check_digest
from unidet.store.plain_json import parse_json
from unidet.store.walking import PATH_BYTES

FORMAT = 2
_WITHOUT_CHECKSUM = 1  # the first format, which is still read
_CHECKSUM = b'\n "checksum": "'  # of the top level only; deeper keys are indented further
_BLANK = "0" * 64
_LIMIT = 2**63  # limit of integers, so that they fit 64 bits
_STAGE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAME_BYTES = 255  # a limit of file systems


class LaterFormat(ValueError):
    """A record of a later version of the program, which is not damaged for that."""


@dataclass(frozen=True)
class StoredFile:
    """One file of an artefact: the name of its blob and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Action:
    """One published run of a stage.

    Attributes:
        key: sha256 of the canonical JSON of `preimage`.
        preimage: everything that the result depends on, as plain data.
        stage: name of the stage.
        name: the dataset or vocabulary that it was first made for, or empty. Not part of the key.
        files: relative path in the artefact -> blob.
        output: digest of the artefact; the only part of it that downstream keys depend on.
        inputs: name -> key of the upstream action that this run read.
        modules: source module -> digest of its code, for reporting what changed.
        host, pid, command: the process that ran.
        started, finished: UTC in ISO 8601, to the microsecond.
        seconds: compute time that another run would need.
        peak_rss: peak memory of the process in bytes.
        git: commit and dirty flag of the code, None where it is not in a git checkout.
        freeze: installed package -> version. Not part of the key.
        sources: name in `preimage["files"]` -> path of the file. Not part of the key.
        nondeterminism: digests of other outputs that runs with the same key gave.
    """

    key: str
    preimage: Mapping[str, Any]
    stage: str
    files: Mapping[str, StoredFile]
    output: str
    inputs: Mapping[str, str]
    modules: Mapping[str, str]
    host: str
    pid: int
    command: str
    started: str
    finished: str
    seconds: float
    peak_rss: int
    git: Mapping[str, Any] | None
    freeze: Mapping[str, str]
    sources: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    nondeterminism: tuple[str, ...] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """Stage, and dataset if there is one: `roi`, `proposals[val]`."""
        return f"{self.stage}[{self.name}]" if self.name else self.stage

    @property
    def size(self) -> int:
        """Total bytes of all files."""
        return sum(file.size for file in self.files.values())

    def with_nondeterminism(self, outputs: tuple[str, ...]) -> Action:
        return replace(self, nondeterminism=outputs)


_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("preimage", "inputs", "modules", "freeze", "sources"), (dict,)),
    **dict.fromkeys(("name", "host", "command", "started", "finished"), (str,)),
    **dict.fromkeys(("pid", "peak_rss"), (int,)),
    "seconds": (int, float),
    "git": (dict, type(None)),
}
_STORED = tuple(item.name for item in fields(Action) if item.name != "nondeterminism")


def digest_files(files: Mapping[str, StoredFile]) -> str:
    """Output digest of an artefact with these files."""
    return output_digest((name, file.sha256, file.size) for name, file in files.items())


def check_name(name: str) -> str:
    """Return `name` if it is a relative path inside the artefact.

    Raises:
        ValueError: it is absolute, empty, contains `..`, is too long or is not portable.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
        raise ValueError(f"{name!r:.80} is not a file name inside an artefact")
    longest = max(len(os.fsencode(part)) for part in parts)
    if longest > _NAME_BYTES or len(os.fsencode(name)) > PATH_BYTES:
        raise ValueError(f"{name!r:.40}… is too long for a file name")
    return name


def check_names(names: Iterable[str]) -> None:
    """On any disk all files can lie beside each other, also where it knows no capitals, or composes
    accents.

    Raises:
        ValueError: one lies where another has its folder, or two have names that are spelt alike.
    """
    files = set(names)
    spelt: dict[str, str] = {}
    for name in sorted(files):
        parts = name.split("/")
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            if count < len(parts) and path in files:
                raise ValueError(f"{path!r:.80} is a file and a folder")
            other = spelt.setdefault(normalize("NFC", path).casefold(), path)
            if other != path:
                raise ValueError(f"{other!r:.80} and {path!r:.80} are the same name on some disks")


def to_bytes(action: Action) -> bytes:
    """The record as indented JSON."""
    values = {name: getattr(action, name) for name in _STORED}
    values["files"] = {
        name: {"sha256": file.sha256, "size": file.size} for name, file in action.files.items()
    }
    return with_checksum({**values, "format": FORMAT})


def with_checksum(values: Mapping[str, Any]) -> bytes:
    """The text of a record with its checksum: the SHA-256 of the text with zeros in its place."""
    text = json.dumps({**values, "checksum": _BLANK}, indent=1, sort_keys=True).encode() + b"\n"
    return text.replace(_CHECKSUM + _BLANK.encode(), _CHECKSUM + sha256_bytes(text).encode(), 1)


def _check_checksum(data: bytes, checksum: Any) -> None:
    head, mark, rest = data.partition(_CHECKSUM)
    text = head + mark + _BLANK.encode() + rest[len(_BLANK) :]
    if rest[: len(_BLANK)].decode() != checksum or sha256_bytes(text) != checksum:
        raise ValueError("an action record whose checksum does not match: it was altered")


def from_bytes(data: bytes) -> Action:
    """Parse a record and check that it is complete and names nothing outside the store.

    Fields of later versions are ignored. That `key` is the key of `preimage` is not checked here.

    Raises:
        LaterFormat: a later version has written it.
        ValueError: it is damaged, or not a record.
    """
    try:
        return _action(data)
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"not an action record: {type(error).__name__}: {error!s:.80}") from error


def record_of(key: str, data: bytes) -> Action:
    """Parse the record of a key.

    Raises:
        LaterFormat: a later version has written it.
        ValueError: it is damaged, or another key's.
    """
    action = from_bytes(data)
    if action.key != key or key_of(action.preimage) != key:
        raise ValueError("its key is not that of its preimage")
    if action.preimage.get("stage", action.stage) != action.stage:
        raise ValueError("its stage is not that of its preimage")
    return action


def _action(data: bytes) -> Action:
    if not data:
        raise ValueError("an empty file")
    values = parse_json(data)
    known = values.get("format") if isinstance(values, dict) else None
    if type(known) is int and known > FORMAT:
        _check_checksum(data, values.get("checksum"))  # else the digit may be a flipped bit's
        raise LaterFormat(f"a record of format {known}, from a later version; update unidet")
    if not isinstance(values, dict) or known not in (_WITHOUT_CHECKSUM, FORMAT):
        raise ValueError(f"not an action record of format {_WITHOUT_CHECKSUM} or {FORMAT}")
    if values["format"] != _WITHOUT_CHECKSUM:
        _check_checksum(data, values.get("checksum"))
    values.setdefault("sources", {})  # the first records do not have these two fields
    values.setdefault("name", "")
    missing = [name for name in _STORED if name not in values]
    if missing:
        raise ValueError(f"an action record without {', '.join(missing)}")
    check_digest(values["key"])
    if not _STAGE.fullmatch(values["stage"]):
        raise ValueError(f"{values['stage']!r:.80} is not a stage name")
    files = {check_name(name): _stored_file(row) for name, row in values["files"].items()}
    check_names(files)
    if len({(file.sha256, file.size) for file in files.values()}) != len(
        {file.sha256 for file in files.values()}
    ):
        raise ValueError("an action record that gives the same content two sizes")
    if digest_files(files) != values["output"]:
        raise ValueError("an action record whose files do not give its output digest")
    _check_types(values)
    if not values["name"].isprintable():
        raise ValueError("name: holds characters that cannot be printed")
    _check_preimage(values["preimage"])
    values["command"] = redact_command(values["command"])  # the first records contain passwords
    return Action(**{name: values[name] for name in _STORED} | {"files": files})


def is_duration(seconds: float) -> bool:
    """Whether a record can give this as its seconds; False for NaN."""
    return 0 <= seconds < _LIMIT


def _check_types(values: Mapping[str, Any]) -> None:
    """ValueError where a field has the wrong type or is out of range."""
    for name, kinds in _TYPES.items():
        if type(values[name]) not in kinds:
            raise ValueError(f"{name}: {values[name]!r:.40} has the wrong type")
    for name in ("modules", "freeze", "sources", "inputs"):
        if any(type(value) is not str for value in values[name].values()):
            raise ValueError(f"{name}: contains a value that is not text")
    for key in values["inputs"].values():
        check_digest(key)
    for name in ("pid", "peak_rss"):
        if not -_LIMIT <= values[name] < _LIMIT:
            raise ValueError(f"{name}: {values[name]!s:.40} is out of range")
    if not is_duration(values["seconds"]):
        raise ValueError(f"seconds: {values['seconds']!s:.40} is not a time")
    for name in ("started", "finished"):
        datetime.fromisoformat(values[name])


def _check_preimage(preimage: Mapping[str, Any]) -> None:
    """ValueError where a part of the preimage has a type that comparisons do not expect."""
    for name in ("config", "inputs", "files", "env"):
        part = preimage.get(name, {})
        if type(part) is not dict:
            raise ValueError(f"preimage: {name} has the wrong type")
        if name != "config" and any(type(value) is not str for value in part.values()):
            raise ValueError(f"preimage: {name} contains a value that is not text")
    if type(preimage.get("code", "")) is not str:
        raise ValueError("preimage: code is not text")


def _stored_file(row: Any) -> StoredFile:
    size = row["size"]
    if type(size) is not int or not 0 <= size < _LIMIT:
        raise ValueError(f"{size!r:.40} is not a size")
    return StoredFile(check_digest(row["sha256"]), size)
