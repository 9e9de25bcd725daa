"""Notes and faults of a file's records: what was read differently, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unidet.errors import UserError


@dataclass(frozen=True)
class Finding:
    """The number of records with some property, and the first of them."""

    count: int
    first: str


def together(some: dict[str, Finding], more: dict[str, Finding]) -> dict[str, Finding]:
    """By remark, with the counts of both and the first of the first."""
    both = some | more
    for remark in some.keys() & more.keys():
        both[remark] = Finding(some[remark].count + more[remark].count, some[remark].first)
    return both


class TableFault(UserError):
    """Records with the same fault; the message is about the first.

    Attributes:
        key: the table's; `rows`: the records, as far as the reader has looked for them.
        kind: the reason, without what the records say.
        first: the name of the first record.
    """

    def __init__(self, message: str, key: str, rows: Sequence[int], kind: str, first: str) -> None:
        super().__init__(message)
        self.key = key
        self.rows = rows
        self.kind = kind
        self.first = first
