"""The verbs that look into the store or clean it: arguments in, exit status out."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict

from unidet.config.study import Config

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


def _verify(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    _json(parser)
    options = _parse(parser, given)
    from unidet.pipelines.engine import open_store
    from unidet.store.verify import verify

    found = verify(open_store(compose(options.overrides)))
    if options.json:
        print(json.dumps(asdict(found), indent=1))
    else:
        for one in found.problems:
            print(f"{one.kind:<10} {one.path}\n           {one.detail}")
        print(f"{found.blobs} blobs, {found.records} records: {len(found.problems)} problems")
    return 1 if found.problems else 0


VERBS: dict[str, Verb] = {"why": _why, "verify": _verify}
