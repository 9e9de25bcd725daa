"""Passwords in addresses, hidden wherever an address is shown, recorded or sent."""

from __future__ import annotations

import re
import shlex

# Bounded repetitions, because text in a record from elsewhere could make others very slow.
_USER = re.compile(r":/{1,2}[^\s:]*:")  # a path made of an address has one slash
# No port, nor the end of an address, behind which a message may say me@here.
_WITH_BLANKS = re.compile(r"(://[^\s/:@]*:)(?!\*\*\*@|\d{1,5}/)(?:(?!://).)*@", re.DOTALL)
# No address, but typed for one: user:password@host, also behind a mistyped sftp: or sftp//
_UNMARKED = re.compile(r"(^|[='\"/])([^\s/:@=]{1,99}):(?!/)[^\s@]{1,99}@")
# A port is a number; anything else is a password whose host was forgotten.
_NO_PORT = re.compile(r"(://[^\s/:@\[]{1,99}:)(?!\*\*\*|\d{1,5}(?!\w))[^\s/@]{1,255}(?=/|$)")
_ONLY_USER = re.compile(r"(https?://)[^\s/@]{1,255}@", re.IGNORECASE)  # there, mostly a token
_QUERY = re.compile(r"[?#]")
# Without the beginning of an address. To the end, for people forget to write an & in it as %26.
_NAMED_VALUE = re.compile(r"([?#][\w.\[%-]{1,40}(?:\]|%5D)?=).+", re.IGNORECASE | re.DOTALL)
_LONGEST_SPLIT = 1 << 15  # characters; shlex is slow


def redact(text: str) -> str:
    """A message with `***` for every password and query in its addresses."""
    words = re.sub(r"\S+", lambda word: redact_argument(word[0]), text)
    return _WITH_BLANKS.sub(r"\1***@", words)


def redact_argument(text: str) -> str:
    """One argument or address, which may hold blanks, with `***` for passwords and queries."""
    # To the last @, for people forget to write a slash in a password as %2F; a user may be me@here.
    before, _, host = text.rpartition("@")
    user = _USER.search(before)
    if user is not None:
        text = f"{before[: user.end()]}***@{host}"
    text = _NO_PORT.sub(r"\1***", _UNMARKED.sub(r"\1\2:***@", text))
    return _without_query(_ONLY_USER.sub(r"\1***@", text))


def _without_query(text: str) -> str:
    """Without the query of an address, in which a token may have any name, or none."""
    query = _QUERY.search(text)
    if query is not None and ":/" in text[: query.start()] and query.end() < len(text):
        return f"{text[: query.end()]}***"
    return _NAMED_VALUE.sub(r"\1***", text)


def redact_command(text: str) -> str:
    """A command line of a record without passwords, which earlier versions recorded."""
    if redact_argument(text) == text:
        return text
    if len(text) > _LONGEST_SPLIT:
        return redact(text)
    try:
        return shlex.join(map(redact_argument, shlex.split(text)))
    except ValueError:  # somebody else's quoting
        return redact(text)
