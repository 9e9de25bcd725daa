"""The artefacts of a study: one per stage, or one per dataset or vocabulary of a stage."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r"(?P<stage>\w+)(?:\[(?P<bracketed>[^\]]+)\]|:(?P<name>.+))?")


@dataclass(frozen=True, order=True)
class Node:
    """One artefact of a study.

    Attributes:
        stage: name of the stage that makes it.
        name: its dataset or vocabulary; empty if the stage has a single artefact. Training sets are
            `training/NAME`, evaluation sets `NAME`.
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

    With `file` only that file's content enters the key, so that other changes of the artefact do
    not matter.
    """

    node: Node
    file: str = ""
