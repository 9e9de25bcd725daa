"""The one exception whose message is written for the person at the terminal."""

from __future__ import annotations


class UserError(Exception):
    """Something in the input is wrong: one line that says what, where, what is allowed, what next.

    The command line prints the message without a traceback and exits with status 2.
    """
