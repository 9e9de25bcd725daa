"""The verbs that look into the store or change it: arguments in, exit status out."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.store.record import Action
from unidet.store.store import Store

Compose = Callable[[Sequence[str]], Config]
Verb = Callable[[ArgumentParser, list[str], Compose], int]

_OVERRIDE = re.compile(r"[\w.@/+~]+=")
WHAT = "a stage, a path, or the first digits of a digest"


def _parse(parser: ArgumentParser, given: list[str], compose: Compose) -> tuple[Namespace, Config]:
    """The options, and the configuration that every argument of the form key=value makes."""
    parser.add_argument("--json", action="store_true", help="for programs")
    overrides = [one for one in given if _OVERRIDE.match(one)]
    options = parser.parse_args([one for one in given if one not in overrides])
    return options, compose(overrides)


def _open(config: Config) -> Store:
    from unidet.pipelines.engine.engine import open_store

    return open_store(config)


def _tell(options: Namespace, values: Any, lines: Sequence[str]) -> None:
    """JSON for programs, lines for people."""
    print(json.dumps(values, indent=1) if options.json else "\n".join(lines))


def _named(action: Action) -> dict[str, str]:
    """What names an action in JSON."""
    return {"stage": action.stage, "key": action.key, "output": action.output}


# --- asking ------------------------------------------------------------------------------------


def _why(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("stage")
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.why import print_why

    print_why(options.stage, config, as_json=options.json)
    return 0


def _lineage(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("what", help=WHAT)
    parser.add_argument("--dot", action="store_true", help="as source for Graphviz")
    parser.add_argument("--picture", metavar="FILE", help="draw it: .png, .svg or .pdf")
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.lineage import dot, lineage, lines
    from unidet.pipelines.verbs.select import select

    store = _open(config)
    nodes = lineage(select(options.what, config, store), store)
    if options.picture:
        from unidet.pipelines.verbs.lineage_picture import draw

        draw(nodes, Path(options.picture))
    if options.dot:
        print(dot(nodes))
    else:
        _tell(options, [asdict(node) for node in nodes], lines(nodes))
    return 0


def _verify(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("--repair", action="store_true", help="bring back what can be, and remove")
    _remote_option(parser)
    options, config = _parse(parser, given, compose)
    from unidet.console.terminal import fold
    from unidet.pipelines.verbs.sharing import open_remote, repaired
    from unidet.store.verify import verify

    store = _open(config)
    found = verify(store)
    fates: dict[str, str] = {}
    if options.repair:
        given_one = options.remote or config.remote
        fates = repaired(store, found, open_remote(options, config) if given_one else None)
    lines = []
    for one in found.problems:
        lines += [f"{one.kind:<10} {_short(one.path)}", *fold(one.detail, " " * 11)]
        lines += fold(fates[one.path], " " * 11) if one.path in fates else []
    left = [one for one in found.problems if one.path not in fates]
    lines.append(f"{found.blobs} blobs, {found.records} records: {len(found.problems)} problems")
    _tell(options, {**asdict(found), "repaired": fates}, lines)
    return 1 if left else 0


def _short(path: str) -> str:
    """A path in the store with its digests cut to what tells them apart."""
    text = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", path)
    return text if len(text) <= 68 else f"…{text[-67:]}"


# --- keeping and accepting ---------------------------------------------------------------------


def _pin(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("what", nargs="?", help=f"{WHAT}; without it, all pins are listed")
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.select import select
    from unidet.store.pins import pin, pins

    store = _open(config)
    if options.what is None:
        found = pins(store.layout)
        lines = [f"{one.stage:<18} {one.key[:12]}  pinned {one.time:.16} UTC" for one in found]
        _tell(options, [asdict(one) for one in found], lines or ["nothing is pinned"])
        return 0
    action = select(options.what, config, store)
    new = pin(store.layout, action)
    word = "pinned" if new else "was pinned already"
    line = f"{action.stage} {action.output[:12]} {word}, with all it needs"
    _tell(options, {**_named(action), "new": new}, [line])
    return 0


def _unpin(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("what", help=WHAT)
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.select import select
    from unidet.store.pins import unpin

    store = _open(config)
    action = select(options.what, config, store)
    if not unpin(store.layout, action):
        raise UserError(f"{action.stage} {action.output[:12]} is not pinned; see: unidet pin")
    _tell(options, _named(action), [f"{action.stage} {action.output[:12]} is no longer pinned"])
    return 0


def _accept(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("stage")
    parser.add_argument("--revoke", action="store_true", help="take it back for the present code")
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.accept import accept, revoke

    if options.revoke:
        if not revoke(options.stage, config):
            raise UserError(f"{options.stage}: nothing was accepted for its present code")
        _tell(options, {"stage": options.stage}, [f"{options.stage}: no longer accepted"])
        return 0
    found = accept(options.stage, config)
    if found is None:
        _tell(options, None, [f"{options.stage}: fresh, nothing to accept"])
        return 0
    line = f"{options.stage}: code {found.code[:12]} counts as equivalent to {found.equals[:12]}"
    _tell(options, asdict(found), [line])
    return 0


# --- cleaning up -------------------------------------------------------------------------------


def _rm(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("what", help=WHAT)
    options, config = _parse(parser, given, compose)
    from unidet.console.terminal import size
    from unidet.pipelines.verbs.select import select
    from unidet.store.gc import cleaning, drop
    from unidet.store.gc_plan import obstacles

    store = _open(config)
    action = select(options.what, config, store)
    name = f"{action.stage} {action.output[:12]}"
    with cleaning(store):
        reasons = obstacles(store, action)
        if reasons or not drop(store, [action]):
            told = "; ".join([*reasons[:3], *(["…"] if reasons[3:] else [])])
            raise UserError(f"{name} stays: {told or 'somebody has begun to use it'}")
    line = f"{name} removed; gc --yes frees its {size(action.size)} after the grace period"
    _tell(options, _named(action), [line])
    return 0


def _gc(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("--max-bytes", metavar="SIZE", type=_bytes, help="such as 50GB")
    parser.add_argument("--keep-last", metavar="K", type=_count, help="artefacts a stage")
    parser.add_argument("--unfinished", metavar="DAYS", type=float, help="drop work this old too")
    parser.add_argument("--grace", metavar="MINUTES", type=float, default=60.0, help="(60)")
    parser.add_argument("--yes", action="store_true", help="do it; otherwise it is only told")
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.cleaning import clean, preview

    store = _open(config)
    limits = (options.max_bytes, options.keep_last)
    if not options.yes:
        values, lines = preview(store, *limits)
    else:
        days = options.unfinished
        unfinished = None if days is None else days * 86400
        values, lines = clean(store, *limits, options.grace * 60, unfinished)
    _tell(options, values, lines)
    return 0


_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(B|[kKMGT]B)?", text)
    if match is None:
        raise UserError(f"--max-bytes: {text!r} is not a size; give one like 500MB or 50GB")
    return int(float(match[1]) * _UNITS[(match[2] or "").replace("K", "k")])


def _count(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--keep-last: {text!r} is not a number of artefacts, 0 or more")
    return int(text)


# --- sharing -----------------------------------------------------------------------------------


def _remote_option(parser: ArgumentParser) -> None:
    text = "a folder, sftp://user@host/folder, s3://bucket/folder; otherwise remote=URL"
    parser.add_argument("--remote", metavar="URL", help=text)


def _push(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("what", nargs="*", help=f"{WHAT}; without it, everything")
    _remote_option(parser)
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.sharing import chosen, open_remote, told
    from unidet.store.transfer import push

    remote, store = open_remote(options, config), _open(config)
    with _progress("push") as tell:
        moved = push(store, remote, chosen(options.what, config, store), tell)
    _tell(options, asdict(moved), told(moved, "pushed", f"to {remote.url}"))
    return 1 if moved.refused else 0


def _pull(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    """`fetch` brings artefacts into the store, `pull` makes their folders too."""
    folders = parser.prog.endswith(" pull")
    parser.add_argument("stage", nargs="*", help="as configured now; without any, the whole study")
    parser.add_argument("--all", action="store_true", help="everything that is at the remote")
    _remote_option(parser)
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.sharing import bring_all, bring_stages, open_remote, told

    remote, store = open_remote(options, config), _open(config)
    with _progress("pull") as tell:
        if options.all:
            moved = bring_all(store, remote, tell)
        else:
            moved = bring_stages(options.stage or ["report"], config, store, remote, tell)
    if folders:
        for key in moved.artefacts:
            action = store.lookup(key)
            if action is not None:
                store.folder(action)
    _tell(options, asdict(moved), told(moved, "arrived", f"from {remote.url}"))
    return 1 if moved.refused else 0


def _export(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("what", nargs="*", help=f"{WHAT}; without it, the configured stage")
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.sharing import chosen, export_folder, told
    from unidet.store.transfer import push

    store = _open(config)
    actions = chosen(options.what or [config.stage], config, store)
    moved = push(store, export_folder(options.folder), actions)
    _tell(options, asdict(moved), told(moved, "exported", f"to {options.folder}"))
    return 1 if moved.refused else 0


def _import(parser: ArgumentParser, given: list[str], compose: Compose) -> int:
    parser.add_argument("folder", metavar="DIR")
    options, config = _parse(parser, given, compose)
    from unidet.pipelines.verbs.sharing import bring_all, exported_folder, told

    moved = bring_all(_open(config), exported_folder(options.folder))
    _tell(options, asdict(moved), told(moved, "imported", f"from {options.folder}"))
    return 1 if moved.refused else 0


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    from unidet.console.terminal import Progress

    progress = Progress(label)
    try:
        yield progress.update
    finally:
        progress.close()


VERBS: dict[str, Verb] = {
    "why": _why,
    "lineage": _lineage,
    "verify": _verify,
    "pin": _pin,
    "unpin": _unpin,
    "accept": _accept,
    "rm": _rm,
    "gc": _gc,
    "push": _push,
    "fetch": _pull,
    "pull": _pull,
    "export": _export,
    "import": _import,
}
