"""The artefacts of a study: one for each stage, or for each data set or vocabulary of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"(?P<stage>\w+)(?:\[(?P<bracketed>[^\]]+)\]|:(?P<name>.+))?")


@dataclass(frozen=True, order=True)
class Node:
    """One artefact of a study.

    Attributes:
        stage: name of the stage that makes it.
        name: the data set or vocabulary it is made for; empty where a stage has one artefact.
            Training sets are `training/NAME`, evaluation sets `NAME`.
    """

    stage: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.stage}[{self.name}]" if self.name else self.stage

    @classmethod
    def parse(cls, text: str) -> Node | None:
        """`roi`, `proposals[val]`, or `proposals:val`, which no shell takes for a pattern.

        None for text of another form.
        """
        match = _TEXT.fullmatch(text)
        return match and cls(match["stage"], match["bracketed"] or match["name"] or "")


@dataclass(frozen=True)
class Input:
    """What a node takes: another node's artefact, or one file of it.

    With `file`, that file's content alone enters the key: what else changes in the artefact does
    not concern who reads no more than the file.
    """

    node: Node
    file: str = ""
