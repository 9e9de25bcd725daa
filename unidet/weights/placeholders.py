"""Placeholders for unknown objects in a pickle.

A trainer's checkpoint holds callbacks, logs and settings beside the weights. They are built as
empty objects that take every call and keep nothing; where weights should be they are refused by
name.
"""

from __future__ import annotations

from typing import Any

from unidet.errors import UserError

MAX_NAMES = 1000
"""Different names in one pickle; each takes a class of its own, a thousand bytes for a few."""


class Placeholder:
    """Stands for an object, class or function named `called`."""

    __slots__ = ()
    called = ""

    def __new__(cls, *_: Any, **__: Any) -> Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, *_: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...

    def append(self, *_: Any) -> None: ...

    extend = add = append


class Placeholders:
    """One placeholder for each name, in the order in which a pickle names them."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Placeholder]] = {}

    def of(self, called: str) -> type[Placeholder]:
        """UserError where there are more than any checkpoint has."""
        if called not in self._classes:
            if len(self._classes) == MAX_NAMES:
                raise UserError(f"it names more than {MAX_NAMES} classes, which no checkpoint does")
            namespace = {"__slots__": (), "called": called}
            self._classes[called] = type("Placeholder", (Placeholder,), namespace)
        return self._classes[called]

    def require_none(self) -> None:
        """UserError with the first name, where there is one."""
        for called in self._classes:
            raise refusal(called)


def called(value: Any) -> str | None:
    """The name behind a placeholder or its class; None for anything else."""
    kind = value if isinstance(value, type) else type(value)
    return kind.called if issubclass(kind, Placeholder) else None


def refusal(called: str) -> UserError:
    return UserError(
        f"refused: it wants to call {called:.200}, which tensors and arrays never need; "
        "where it is a whole network, save its state_dict() instead"
    )
