"""Says what is wrong with the `defaults` of a page, where Hydra's own words do not lead on."""

from __future__ import annotations

import re
from collections.abc import Callable

from unidet.errors import suggestion


def defaults_fault(message: str, known_in: Callable[[str], list[str]]) -> str:
    """One line for Hydra's error about a list of defaults; empty if it is about something else.

    Args:
        message: Hydra's error.
        known_in: lists the pages of a group, and for "" the groups.
    """
    if absent := re.match(r"In '([^']+)': Could not load '([^']+)'", message):
        where, (group, _, name) = absent[1], absent[2].rpartition("/")
        if ":" in absent[2]:  # an address up to its @: its password would not be seen to be one
            return (
                f"{where}: its defaults name an address, which is no page; values stand below them"
            )
        known = [page for page in known_in(group) if page != where.rpartition("/")[2]]
        if not known:
            return f"{where}: its defaults name {absent[2]!r}, but there is no such group of pages"
        return (
            f"{where}: its defaults name {name!r}, which is no page; {suggestion(name, known)}"
            f"there are {', '.join(known)}"
        )
    if unmatched := re.match(r"In '([^']+)': Could not override '(?:[^'@]+(@))?([^']+)'", message):
        where, below, name = unmatched.groups()
        known = [group for group in known_in("") if group != "hydra"]
        if name not in known:
            meant = f"{suggestion(name, known)}there are {', '.join(known)}"
        elif below:
            meant = f"write a slash before it: override /{name}: PAGE"
        else:
            meant = "no page of it was chosen before, so leave out 'override'"
        return f"{where}: its defaults override {name!r}; {meant}"
    if twice := re.match(
        r"Multiple values for ([^.]+)\. To override .*'override \S+ ?(.*)'", message
    ):
        return (
            f"defaults: two pages of {twice[1]} are named; one that replaces the other is written "
            f"as: override /{twice[1]}: {twice[2]}"
        )
    return ""
