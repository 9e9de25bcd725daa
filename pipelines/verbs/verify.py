"""`unidet verify`: reads the whole store again; exit status 1 where damage is left."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from contextlib import nullcontext
from dataclasses import asdict

from unidet.console.terminal import fold
from unidet.counts import counted
from unidet.pipelines.verbs.support.arguments import add_json, add_remote, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb

UNEXPECTED = (
    "what is unexpected was not written by the store and may be yours: no repair touches it; move "
    "it by hand out of store/v1, where these paths begin"
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--repair",
        action="store_true",
        help="restore what can be restored (also from a remote); the rest goes into the trash",
    )
    add_remote(parser)
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import existing_store
    from unidet.pipelines.verbs.support.sharing import open_remote, repaired
    from unidet.store.verify import verify

    config = compose(options.overrides)
    has_remote = options.repair and (options.remote or config.remote)
    opened = open_remote(options, config, reading=True) if has_remote else nullcontext()
    with opened as remote:
        store = existing_store(config)
        findings = verify(store)
        refused: list[str] = []
        fates = repaired(store, findings, remote, refused.append) if options.repair else {}
    lines = []
    for problem in findings.problems:
        lines += [f"{problem.kind:<10} {_short(problem.path)}", *fold(problem.detail, " " * 11)]
        lines += fold(fates[problem.path], " " * 11) if problem.path in fates else []
    lines += [line for text in dict.fromkeys(refused) for line in fold(text, "")]
    left = [problem for problem in findings.problems if problem.path not in fates]
    if any(problem.kind == "unexpected" for problem in left):
        lines += fold(UNEXPECTED, "")
    read = f"{counted(findings.blobs, 'blob')}, {counted(findings.records, 'record')}"
    lines.append(f"{read}: {counted(len(findings.problems), 'problem')}")
    tell(options, {**asdict(findings), "repaired": fates, "refused": refused}, lines)
    return 1 if left else 0


def _short(path: str) -> str:
    """A path in the store with its digests cut to what tells them apart."""
    text = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", path)
    return text if len(text) <= 68 else f"…{text[-67:]}"


VERB = Verb(
    group="The store",
    summary="check the whole store; exit 1: damage found",
    example="unidet verify --repair",
    run=run,
    add_arguments=add_arguments,
)
