"""The one exception whose message is written for the person at the terminal, and its words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something in the input is wrong: one line that says what, where, what is allowed, what next.

    The command line prints the message without a traceback and exits with status 2.
    """


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'x'? ` for a misspelt word, to stand in a message; empty where none is near."""
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
