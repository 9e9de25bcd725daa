"""`unidet gc`: what goes, what stays, and why, told before it is done."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from typing import Any

from unidet.console.terminal import duration, size
from unidet.counts import counted
from unidet.errors import UserError
from unidet.pipelines.verbs.support.arguments import add_json, number, tell
from unidet.pipelines.verbs.support.verb import Compose, Verb
from unidet.store import live
from unidet.store.gc import cleaning, drop, drop_unfinished, sweep, unfinished
from unidet.store.gc_plan import Drop, Plan, plan
from unidet.store.store import Store

SHOWN = 40
LONGEST_SIZE = 30  # characters
_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

Told = tuple[dict[str, Any], list[str]]


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--max-bytes",
        metavar="SIZE",
        type=_bytes,
        help="drop artefacts until the store fits, such as 50GB (order: docs/store.md)",
    )
    parser.add_argument(
        "--keep-last",
        metavar="K",
        type=_count,
        help="keep only the K last requested per stage and dataset",
    )
    parser.add_argument(
        "--unfinished",
        metavar="DAYS",
        type=number(0),
        help="also drop interrupted work that is older",
    )
    parser.add_argument(
        "--grace",
        metavar="MINUTES",
        type=number(0),
        default=60.0,
        help="time that dropped artefacts stay in the trash",
    )
    parser.add_argument("--yes", action="store_true", help="clean up; otherwise a dry run")
    add_json(parser)


def run(options: Namespace, compose: Compose) -> int:
    from unidet.pipelines.engine.engine import existing_store

    store = existing_store(compose(options.overrides))
    age = None if options.unfinished is None else options.unfinished * 86400
    limits = (options.max_bytes, options.keep_last, age)
    if options.yes:
        values, lines = clean(store, *limits, options.grace * 60)
    else:
        values, lines = preview(store, *limits)
    tell(options, values, lines)
    return 0


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(B|[kKMGT]B)?", text)
    if match is None or len(text) > LONGEST_SIZE:
        raise UserError(f"--max-bytes: {text!r} is not a size; give one like 500MB or 50GB")
    return int(float(match[1]) * _UNITS[(match[2] or "").replace("K", "k")])


def _count(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--keep-last: {text!r} is not a number of artefacts, 0 or more")
    return int(text)


def preview(store: Store, max_bytes: int | None, keep_last: int | None, age: float | None) -> Told:
    """What a clean-up would drop; changes nothing.

    Args:
        age: of unfinished work that goes, in seconds; None keeps all.
    """
    chosen = plan(store, max_bytes, keep_last)
    used = live.used(store.layout.runs)
    works = [] if age is None else [one for one in unfinished(store, age) if one.name not in used]
    lines = [*_lines(chosen), *_too_much(chosen, max_bytes)]
    if works:
        lines.append(f"unfinished work of {counted(len(works), 'interrupted run')} goes")
    values = {**_values(chosen), "done": False, "unfinished": len(works)}
    return values, [*lines, "nothing was done; add --yes to do it"]


def clean(
    store: Store, max_bytes: int | None, keep_last: int | None, age: float | None, grace: float
) -> Told:
    """Clean up; `grace`, and `age` as in `preview`, in seconds.

    Raises:
        UserError: another clean-up is at it, a record cannot be read, or the disk refuses.
    """
    with cleaning(store):
        chosen = plan(store, max_bytes, keep_last)
        dropped = drop(store, [item.action for item in chosen.drops])
        stopped = 0 if age is None else drop_unfinished(store, age)
        swept = sweep(store, grace)
    lines = [*_lines(chosen), *_too_much(chosen, max_bytes)]
    if len(dropped) < len(chosen.drops):
        lines.append(f"{len(chosen.drops) - len(dropped)} of these came into use and stay")
    if stopped:
        lines.append(f"unfinished work of {counted(stopped, 'interrupted run')} removed")
    lines.append(f"freed {size(swept.freed)}; {size(swept.trashed)} in the trash")
    if swept.trashed:
        lines.append(f"a clean-up after {duration(grace)} frees that; one with --grace 0 does now")
    if swept.waiting:
        lines.append(
            f"{size(swept.waiting)} are not old enough for the trash and go there by a later one"
        )
    done = {"done": True, **swept._asdict(), "unfinished": stopped}
    return {**_values(chosen), **done, "dropped": [action.key for action in dropped]}, lines


def _lines(chosen: Plan) -> list[str]:
    found = [_line(item) for item in chosen.drops[:SHOWN]]
    if chosen.drops[SHOWN:]:
        found.append(f"… and {len(chosen.drops) - SHOWN} more (--json names all)")
    found.append(
        f"{counted(len(chosen.drops), 'artefact goes', 'artefacts go')}, {chosen.stay} stay; "
        f"content {size(chosen.before)} → {size(chosen.after)}"
    )
    if chosen.unread:
        found.append(
            f"damaged lines in the log of runs, not counted as requests: {chosen.unread}; "
            f"see: unidet verify"
        )
    return found


def _line(item: Drop) -> str:
    action = item.action
    cost = f"{size(item.frees):>9} for {duration(action.seconds)} of computing"
    return f"{action.label:<24} {action.output[:12]}  {cost}"


def _too_much(chosen: Plan, max_bytes: int | None) -> list[str]:
    if max_bytes is None or chosen.after <= max_bytes:
        return []
    over = size(chosen.after - max_bytes)
    return [f"{over} too much is left: pins, what is in use, --keep-last, and what those need"]


def _values(chosen: Plan) -> dict[str, Any]:
    rows = [
        {
            "stage": item.action.stage,
            "name": item.action.name,
            "key": item.action.key,
            "output": item.action.output,
            "frees": item.frees,
            "seconds": item.action.seconds,
        }
        for item in chosen.drops
    ]
    return {
        "drops": rows,
        "before": chosen.before,
        "after": chosen.after,
        "stay": chosen.stay,
        "unread": chosen.unread,
    }


VERB = Verb(
    group="The store",
    summary="clean up the store; without --yes a dry run",
    example="unidet gc --max-bytes 50GB --keep-last 2",
    run=run,
    add_arguments=add_arguments,
)
