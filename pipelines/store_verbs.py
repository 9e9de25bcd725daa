"""The verbs that look into the store or clean it: arguments in, exit status out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence

from unidet.config import Config

Compose = Callable[[Sequence[str]], Config]
Verb = Callable[[ArgumentParser, list[str], Compose], int]


def _parse(parser: ArgumentParser, given: list[str]) -> Namespace:
    parser.add_argument("overrides", nargs="*", help="key=value")
    return parser.parse_intermixed_args(given)


def _json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def _why(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("stage")
    _json(parser)
    options = _parse(parser, given)
    from unidet.pipelines.why import print_why

    print_why(options.stage, compose(options.overrides), as_json=options.json)
    return 0


VERBS: dict[str, Verb] = {"why": _why}
