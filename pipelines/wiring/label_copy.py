"""The copy of the user's labels that a study trains on, and whether the labels are others by now.

A change of them takes effect when `unidet new` reads them again, and all at once. Beside the copy
stands what it was read from.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.store.disk import read_plain, whole_file
from unidet.store.hashing import digest, sha256_file
from unidet.store.plain_json import parse_record

if TYPE_CHECKING:
    from unidet.config.study import Config
    from unidet.formats.labels.coco import Document

READ_FROM = "read_from.json"
_SUFFIXES = frozenset({".json", ".xml", ".csv", ".txt", ".yaml", ".yml", ".names", ".data"})
"""Endings of files that hold labels or names; images are known by their content to stage `data`."""


@dataclass(frozen=True)
class ReadFrom:
    """The labels that were read.

    Attributes:
        labels: their absolute path.
        arguments: of `unidet new`, after its folder, to read them again, for a shell.
        times: digest of the names, sizes and times of their files.
        content: digest of the names and contents of their files.
    """

    labels: str
    arguments: str
    times: str
    content: str

    @classmethod
    def of(cls, labels: Path, arguments: Sequence[str]) -> ReadFrom:
        """The labels at an absolute path as they are now."""
        return cls(str(labels), shlex.join(arguments), _times(labels), _content(labels))


def write_copy(folder: Path, documents: Mapping[str, Document], read: ReadFrom) -> None:
    """Write `PART.json` for each COCO document, in place of what is there, and what was read."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {READ_FROM: json.dumps(asdict(read), indent=1)}  # the first is placed last
    texts |= {f"{part}.json": json.dumps(d, ensure_ascii=False) for part, d in documents.items()}
    # Beside labels of another division an image would be in both parts: first the old ones go.
    with ExitStack() as files:
        for name, text in texts.items():
            partial = files.enter_context(whole_file(folder / name))
            partial.write_text(text, encoding="utf-8")
        for part in documents:
            (folder / f"{part}.json").unlink(missing_ok=True)


def tell_label_changes(config: Config) -> None:
    """Note on labels that have changed since they were read.

    Raises:
        UserError: the file that says what was read is damaged.
    """
    if changes := _changes(config.data.root):
        say(f"note: {changes}")


def _changes(data_root: str | None) -> str:
    """A line on changed labels; empty if they have not changed, are not there, or `data_root`,
    which may be no folder, holds none that `unidet new` has written.
    """
    file = Path(data_root or ".") / READ_FROM
    if not data_root or not file.is_file():
        return ""
    try:
        read = parse_record(ReadFrom, read_plain(file))
    except ValueError as fault:
        raise UserError(
            f"{file}: is damaged ({fault}); remove it, or read the labels again: unidet new … "
            "--again"
        ) from None
    labels = Path(read.labels)
    if not labels.exists() or _times(labels) == read.times or _content(labels) == read.content:
        return ""
    folder = shlex.quote(str(file.parent.parent))
    return (
        f"{labels}: the labels have changed since this study read them, and it goes on with those; "
        f"to read them again: unidet new {folder} {read.arguments} --again"
    )


def _times(labels: Path) -> str:
    """Of size, mtime and ctime, which no program sets back."""
    return digest([[n, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for n, s in _files(labels)])


def _content(labels: Path) -> str:
    folder = labels.parent if labels.is_file() else labels
    return digest([[name, sha256_file(folder / name)] for name, _ in _files(labels)])


def _files(labels: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The path below `labels` and the state of each file, or of the one file; no hidden ones."""
    if labels.is_file():
        yield labels.name, labels.stat()
        return
    for place, folders, files in os.walk(labels):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        below = place[len(str(labels)) + 1 :]
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() not in _SUFFIXES or name.startswith("."):
                continue
            with suppress(FileNotFoundError):  # a link to nowhere
                state = os.stat(os.path.join(place, name))
                if stat.S_ISREG(state.st_mode):
                    yield os.path.join(below, name), state
