"""JSON files, read piece by piece; whatever is wrong with the text is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from unidet.errors import UserError
from unidet.formats.json_window import Batch, Scan, Window, opened

Look = Callable[[str, int, list[Any]], object]
"""Takes a key, the place of the first of some records in the list under it, and the records."""


def members(
    path: Path, *, exactly: bool = False, scans: Mapping[str, Scan | None] = MappingProxyType({})
) -> Iterator[tuple[str, Iterator[Batch] | None, Any]]:
    """Each key of the object in a file, with its value in batches where that is a list, or else
    with the value. Batches are to be taken before the next key is asked for.

    Args:
        exactly: the batches' `values` are Python's already, for half the speed.
        scans: what may read the lists under some keys.

    Raises:
        UserError: the file is absent, unreadable, malformed, or holds no object.
    """
    with opened(path, exactly) as text:
        if text.next() != "{":
            _pass_over(text)
            raise UserError(
                f"{path}: holds no object; annotations are a JSON object with images, annotations "
                "and categories"
            )
        met: set[str] = set()
        for _ in text.items("}"):
            if text.next() != '"':
                text.fail("Expecting property name enclosed in double quotes")
            key = text.value()
            if key in met:
                raise UserError(
                    f"{path}: {shown(key)} stands twice, and others read the last alone; join them"
                )
            met.add(key)
            text.take(":")
            if text.next() == "[":
                batches = _batches(text, scans.get(key))
                yield key, batches, None
                for _ in batches:  # what nobody has taken
                    pass
            else:
                yield key, None, text.value()
        text.require_end()


def read_document(path: Path, look: Look = lambda key, start, records: None) -> dict[str, Any]:
    """The object in a JSON file, without `segmentation`s: these are most of a file, and used only
    where a record has no box.

    Args:
        look: called with the records of each list as they are written, piece by piece.

    Raises:
        UserError: as `members`.
    """
    document: dict[str, Any] = {}
    for key, batches, value in members(path, exactly=True):
        if key == "segmentation":
            continue
        if batches is None:
            document[key] = without_segmentation(value)
            continue
        records = document[key] = []
        for batch in batches:
            look(key, len(records), batch.values)
            records += without_segmentation(batch.values)
    return document


def record_batches(
    path: Path, *, exactly: bool = False, scan: Scan | None = None
) -> Iterator[Batch]:
    """Batches of a file that holds one JSON list, so that millions of records never exist as Python
    objects at once; `exactly` as in `members`, `scan` may read them.

    Raises:
        UserError: the file is absent, unreadable, malformed, or holds no list.
    """
    with opened(path, exactly) as text:
        if text.next() != "[":
            _pass_over(text)
            raise UserError(f"{path}: holds no list; a results file is a JSON list of detections")
        yield from _batches(text, scan)
        text.require_end()


def shown(value: Any) -> str:
    """A value from a file as part of a one-line message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _batches(text: Window, scan: Scan | None) -> Iterator[Batch]:
    """The values of the list that begins at the window."""
    start = 0
    for _ in text.items("]"):
        batch = text.batch(start, scan)
        yield batch
        start += len(batch)


def _pass_over(text: Window) -> None:
    """To the end of a file that holds one value."""
    if text.next() == "[":
        for _ in _batches(text, None):
            pass
    else:
        text.value()
    text.require_end()


def without_segmentation(value: Any) -> Any:
    """The same, changed in place: without that key, however deep, unless nothing else says where
    the object is."""
    values = [value]
    while values:
        inner = values.pop()
        if type(inner) is dict:
            if inner.get("bbox") or "image_id" not in inner:
                inner.pop("segmentation", None)
            values += inner.values()
        elif type(inner) is list:
            values += inner
    return value
