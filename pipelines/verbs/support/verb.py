"""The interface of a verb, and finding verbs by name."""

from __future__ import annotations

import pkgutil
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeAlias

from unidet.pipelines import verbs

if TYPE_CHECKING:
    from unidet.config.study import Config

Group = Literal["The study", "The store", "Sharing", "Files", "This machine"]
Compose: TypeAlias = "Callable[[Sequence[str]], Config]"
"""Makes the configuration of arguments of the form key=value."""


def no_arguments(parser: ArgumentParser) -> None:
    """Of a verb that takes none of its own."""


@dataclass(frozen=True)
class Verb:
    """One verb of the command.

    Attributes:
        group: the heading under which `unidet -h` lists it.
        summary: what it does, in one line of at most 60 characters.
        example: a whole command that uses it, for `unidet VERB -h`.
        run: does it and returns the exit status.
        add_arguments: gives a parser its arguments.
        takes_overrides: arguments of the form key=value change the study and arrive as
            `options.overrides`, wherever they stand.
        saves: Ctrl-C waits for its next safe point; otherwise it ends the verb where it is.
    """

    group: Group
    summary: str
    example: str
    run: Callable[[Namespace, Compose], int]
    add_arguments: Callable[[ArgumentParser], None] = no_arguments
    takes_overrides: bool = True
    saves: bool = False


def names() -> list[str]:
    """Every verb, read off the folder; imports none."""
    modules = pkgutil.iter_modules(verbs.__path__)
    found = (module.name.removesuffix("_") for module in modules if not module.ispkg)
    return [name.replace("_", "-") for name in found]


def load(name: str) -> Verb:
    """The verb of this name, one of `names()`."""
    place = f"{verbs.__name__}.{name.replace('-', '_')}"
    try:
        module = import_module(place)
    except ModuleNotFoundError:  # a keyword of Python
        module = import_module(f"{place}_")
    return module.VERB
