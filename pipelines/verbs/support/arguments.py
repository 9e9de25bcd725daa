"""Parsing of a verb's arguments, and arguments that several verbs share."""

from __future__ import annotations

import argparse
import difflib
import json
import math
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import compress
from typing import Any, NoReturn

from unidet.config.overrides import require_whole
from unidet.config.places import home_path, local_path
from unidet.console.terminal import printable
from unidet.errors import UserError
from unidet.pipelines.verbs.support.verb import Verb
from unidet.store.record import Action

WHAT = "a stage or one artefact of it (proposals:val), a path, or first digits of a digest"
WIDTH = 80

_OVERRIDE = re.compile(r"(\+\+?)?[A-Za-z_]\w*([./@:]\w+)*=|~[A-Za-z_][\w./@:]*(=|$)")

_NEAR = 0.7  # of 1: --conf is as near to --crops as 0.62
_ELSEWHERE = {
    "--conf": "--threshold",
    "--conf-thres": "--threshold",
    "--score-thr": "--threshold",
    "--pred-score-thr": "--threshold",
    "--confidence-threshold": "--threshold",
    "--box-threshold": "--threshold",
    "--max-det": "--top-k",
    "--topk": "--top-k",
    "--classes": "--vocab",
    "--texts": "--vocab",
    "--text-prompt": "--vocab",
    "--names": "--vocab",
    "--checkpoint": "--weights",
    "--model": "--weights",
    "--out-dir": "--out",
    "--output": "--out",
    "--output-dir": "--out",
    "--project": "--out",
    "--device": "runtime.device=cpu or cuda",
    "--seed": "seed=N",
    "--cfg": "experiment=NAME",
    "--cfg-options": "key=value",
    "--opts": "key=value",
}
"""What options of Ultralytics, mmdetection, detectron2 and GroundingDINO are called here."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """80 columns wide, with all informative defaults."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=WIDTH)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, argparse.SUPPRESS) or not action.default:
            return action.help
        return f"{action.help or ''} (default: %(default)s)".strip()


class _Parser(ArgumentParser):
    """Bad arguments are a UserError, in one line."""

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """As in argparse, which would say of any number of arguments that they are required."""
        if options.get("nargs") == "*":
            options.setdefault("default", [])
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(
            f"{self.prog.removeprefix('unidet ')}: {message}{self._near(message)}; "
            f"see: {self.prog} -h"
        )

    def print_help(self, file: Any = None) -> None:
        """As in argparse, which would pass over an output that is full."""
        print(self.format_help(), end="", file=file, flush=True)

    def _near(self, message: str) -> str:
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        if unknown is None:
            return ""
        if meant := self._called_here(unknown[1]):
            return f"; it is {meant} here"
        near = difflib.get_close_matches(unknown[1], self._known(), n=1, cutoff=_NEAR)
        return f"; did you mean {near[0]}?" if near else ""

    def _known(self) -> list[str]:
        return [option for option in self._option_string_actions if option.startswith("--")]

    def _called_here(self, option: str) -> str:
        """What an option of other programs is called here; empty if it is not known."""
        meant = _ELSEWHERE.get(option, "")
        is_key = "=" in meant and self.get_default("overrides") is not None
        return meant if meant in self._known() or is_key else ""

    def refuse_options(self, overrides: Sequence[str]) -> None:
        """UserError for an option written like a value of the configuration, as Ultralytics'
        `conf=0.3`, unless that has a value of this name.
        """
        for override in overrides:
            key = override.partition("=")[0]
            option = f"--{key.replace('_', '-')}"
            meant = option if option in self._known() else self._called_here(option)
            if meant and not _is_key(key):
                self.error(f"{override}: is not in the configuration; it is {meant} here")


def parser_of(name: str, verb: Verb) -> _Parser:
    """The parser of a verb, whose help ends with an example."""
    parser = _Parser(
        prog=f"unidet {name}",
        description=verb.summary,
        epilog=f"example: {verb.example}",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    verb.add_arguments(parser)
    if verb.takes_overrides:
        text = "changes the study, as in a run; see: unidet config"
        parser.add_argument("overrides", nargs="*", metavar="key=value", help=text)
    return parser


def parse(name: str, verb: Verb, arguments: Sequence[str]) -> Namespace:
    """The options of a verb; `overrides` among them, where it takes any.

    After `--` there are neither options nor overrides.

    Raises:
        UserError: arguments that it does not take, in one line.
    """
    parser = parser_of(name, verb)
    arguments, named = _parted(arguments)
    if not verb.takes_overrides:
        return parser.parse_intermixed_args([*arguments, *named])
    require_whole(arguments)
    taking = {name for action in parser._actions for name in _taking_one(action)}
    is_override = [
        before not in taking and _OVERRIDE.match(item) is not None
        for before, item in zip(("", *arguments), arguments, strict=False)
    ]
    overrides = list(compress(arguments, is_override))
    options = parser.parse_intermixed_args(
        [*compress(arguments, (not flag for flag in is_override)), *named]
    )
    if options.overrides:
        require_whole(arguments, alone=True)  # key= value
        parser.error(f"unrecognized arguments: {' '.join(options.overrides)}")
    parser.refuse_options(overrides)
    options.overrides = overrides
    return options


def _is_key(name: str) -> bool:
    from unidet.config.study import Config

    return name in {field.name for field in fields(Config)}


def _parted(arguments: Sequence[str]) -> tuple[Sequence[str], list[str]]:
    """What is before `--`, and the files named after it; argparse itself forgets the mark when
    options and others are mixed, so that a name with a dash gets the folder it is in."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    named = [
        f"./{item}" if item.startswith("-") and item != "-" else item
        for item in arguments[place + 1 :]
    ]
    return arguments[:place], named


def _taking_one(action: argparse.Action) -> Sequence[str]:
    """The names of an option that takes the argument after it, whatever that looks like."""
    return action.option_strings if action.nargs is None else ()


def add_what(parser: ArgumentParser, nargs: str | None = None, otherwise: str = "") -> None:
    """WHAT: the artefact that is meant; `otherwise` says what happens without it."""
    text = f"{WHAT}; without it, {otherwise}" if otherwise else WHAT
    parser.add_argument("what", nargs=nargs, type=file_path, help=text)


def add_json(parser: ArgumentParser) -> None:
    """`--json`, which `tell` obeys."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_remote(parser: ArgumentParser) -> None:
    """`--remote`, which `sharing.open_remote` opens."""
    text = "a folder, sftp://user@host/folder, s3://bucket/folder; default: remote=URL"
    parser.add_argument("--remote", type=store_address, metavar="URL", help=text)


def add_arrivals(parser: ArgumentParser) -> None:
    """What `fetch` and `pull` bring, which `sharing.bring` obeys."""
    parser.add_argument("stage", nargs="*", help="stages as configured; default: the whole study")
    parser.add_argument("--all", action="store_true", help="everything in the remote store")
    add_remote(parser)
    add_json(parser)


def tell(options: Namespace, values: Any, lines: Sequence[str]) -> None:
    """JSON for programs, lines for people."""
    print(json.dumps(values, indent=1) if options.json else "\n".join(map(printable, lines)))


def named(action: Action) -> dict[str, str]:
    """What names an artefact in JSON."""
    names = {"stage": action.stage, "name": action.name}
    return {**names, "key": action.key, "output": action.output}


def one_or_list(values: Sequence[Any]) -> Any:
    """What JSON holds of a stage's artefacts: the only one itself, or a list of several."""
    return values[0] if len(values) == 1 else list(values)


def store_address(text: str) -> str:
    """A type for argparse: a folder, `~` at its start being home, or an address.

    An empty one, of a variable that is not set, would mean the current folder.
    """
    if not text:
        raise ArgumentTypeError("must name a file or folder, got ''")
    return _path(home_path, text)


def file_path(text: str) -> str:
    """A type for argparse: a file or folder of this machine, as `store_address` takes one."""
    store_address(text)
    return _path(local_path, text)


def vocabulary(text: str) -> str:
    """A type for argparse: names, or a file with them."""
    if not text.strip():
        raise ArgumentTypeError('names no category: give names, such as "cat, dog", or a file')
    return file_path(text)


def _path(read: Callable[[str], str], text: str) -> str:
    try:
        return read(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def number(least: float, most: float = math.inf) -> Callable[[str], float]:
    """A type for argparse: a number in this range."""

    def read(text: str) -> float:
        value = _or_nan(float, text)
        if not least <= value <= most or math.isinf(value):
            raise ArgumentTypeError(f"must be a number {_range(least, most)}, got {text!r}")
        return value

    return read


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A type for argparse: a whole number in this range."""

    def read(text: str) -> int:
        value = _or_nan(int, text)
        if not least <= value <= most:
            raise ArgumentTypeError(f"must be a whole number {_range(least, most)}, got {text!r}")
        return int(value)

    return read


def _or_nan(kind: Callable[[str], float], text: str) -> float:
    try:
        return kind(text)
    except ValueError:
        return math.nan


def _range(least: float, most: float = math.inf) -> str:
    return f"of at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
