"""YAML of which every value is text, and no more than the file justifies."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

MAX_DEPTH = 100
_SPARE, _REPEATS = 1000, 8
"""Values that aliases may add: a few, and as many times those that are written."""


class Texts(yaml.BaseLoader):
    """yaml.BaseLoader for files from elsewhere.

    Nesting without end would end in Python's own error, and a list that holds another one twice,
    that one a third one twice, and so on, is a whole memory of text.

    Raises:
        ComposerError: it nests too deeply, or its aliases repeat too much.
        ConstructorError: a key stands twice, of which others read the last.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._written = self._values = 0
        self._values_of: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark, before = self.peek_event().start_mark, self._values
        is_alias = self.check_event(yaml.AliasEvent)
        if self._depth == MAX_DEPTH:
            raise ComposerError(None, None, f"nested more than {MAX_DEPTH} deep", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias:
            self._values += self._values_of.get(id(node), 1)
        else:
            self._written += 1
            self._values += 1
            self._values_of[id(node)] = self._values - before
        if self._values > _SPARE + _REPEATS * self._written:
            raise ComposerError(
                None, None, "its aliases repeat what they stand for too often", mark
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        met: set[str] = set()
        for key, _ in node.value if len(mapping) < len(node.value) else ():
            if key.value in met:
                raise ConstructorError(
                    None, None, f"{key.value!r:.40} stands twice", key.start_mark
                )
            met.add(key.value)
        return mapping
