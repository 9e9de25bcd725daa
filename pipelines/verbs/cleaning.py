"""`unidet gc`: what goes, what stays, and why, told before it is done."""

from __future__ import annotations

from typing import Any

from unidet.console.terminal import duration, size
from unidet.store.gc import cleaning, drop, drop_unfinished, sweep
from unidet.store.gc_plan import Drop, Plan, plan
from unidet.store.store import Store

SHOWN = 40

Told = tuple[dict[str, Any], list[str]]


def preview(store: Store, max_bytes: int | None, keep_last: int | None) -> Told:
    """What a clean-up would drop; changes nothing."""
    chosen = plan(store, max_bytes, keep_last)
    lines = [*_lines(chosen), *_too_much(chosen, max_bytes), "nothing was done; add --yes to do it"]
    return {**_values(chosen), "done": False}, lines


def clean(
    store: Store,
    max_bytes: int | None,
    keep_last: int | None,
    grace: float,
    unfinished: float | None,
) -> Told:
    """Clean up; `grace` and `unfinished` (None keeps all) are ages in seconds.

    Raises:
        UserError: another clean-up is at it, a record cannot be read, or the disk refuses.
    """
    with cleaning(store):
        chosen = plan(store, max_bytes, keep_last)
        dropped = drop(store, [one.action for one in chosen.drops])
        stopped = 0 if unfinished is None else drop_unfinished(store, unfinished)
        trashed, freed = sweep(store, grace)
    lines = [*_lines(chosen), *_too_much(chosen, max_bytes)]
    if len(dropped) < len(chosen.drops):
        lines.append(f"{len(chosen.drops) - len(dropped)} of these came into use and stay")
    if stopped:
        lines.append(f"unfinished work of {stopped} interrupted runs removed")
    lines.append(f"freed {size(freed)}; {size(trashed)} in the trash")
    if trashed:
        lines.append(f"a clean-up after {duration(grace)} frees that; one with --grace 0 does now")
    done = {"done": True, "freed": freed, "trashed": trashed, "unfinished": stopped}
    return {**_values(chosen), **done, "dropped": [one.key for one in dropped]}, lines


def _lines(chosen: Plan) -> list[str]:
    found = [_line(one) for one in chosen.drops[:SHOWN]]
    if chosen.drops[SHOWN:]:
        found.append(f"… and {len(chosen.drops) - SHOWN} more (--json names all)")
    found.append(
        f"{len(chosen.drops)} artefacts go, {chosen.stay} stay; "
        f"content {size(chosen.before)} → {size(chosen.after)}"
    )
    return found


def _line(one: Drop) -> str:
    action = one.action
    cost = f"{size(one.frees):>9} for {duration(action.seconds)} of computing"
    return f"{action.stage:<18} {action.output[:12]}  {cost}"


def _too_much(chosen: Plan, max_bytes: int | None) -> list[str]:
    if max_bytes is None or chosen.after <= max_bytes:
        return []
    over = size(chosen.after - max_bytes)
    return [f"{over} too much is left: pins, what is in use, --keep-last, and what those need"]


def _values(chosen: Plan) -> dict[str, Any]:
    rows = [
        {
            "stage": one.action.stage,
            "key": one.action.key,
            "output": one.action.output,
            "frees": one.frees,
            "seconds": one.action.seconds,
        }
        for one in chosen.drops
    ]
    return {"drops": rows, "before": chosen.before, "after": chosen.after, "stay": chosen.stay}
