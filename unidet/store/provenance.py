"""Provenance that is recorded of a run in addition to its key: process, packages, git state."""

from __future__ import annotations

import functools
import os
import re
import resource
import shlex
import socket
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

# Bounded repetitions, because text in a record from elsewhere could make others very slow.
_USER = re.compile(r":/{1,2}[^\s:]*:")  # a path made of an address has one slash
_WITH_BLANKS = re.compile(r"(://[^\s:@]*:)(?!\*\*\*@)(?:(?!://).)*@", re.DOTALL)
# No address, but typed for one: user:password@host, also behind a mistyped sftp: or sftp//
_UNMARKED = re.compile(r"(^|[='\"/])([^\s/:@=]{1,99}):(?!/)[^\s@]{1,99}@")
# A port is a number; anything else is a password whose host was forgotten.
_NO_PORT = re.compile(r"(://[^\s/:@\[]{1,99}:)(?!\*\*\*|\d{1,5}(?!\w))[^\s/@]{1,255}(?=/|$)")
_ONLY_USER = re.compile(r"(https?://)[^\s/@]{1,255}@", re.IGNORECASE)  # there, mostly a token
_QUERY = re.compile(r"[?#]")
# Without the beginning of an address. To the end, for people forget to write an & in it as %26.
_NAMED_VALUE = re.compile(r"([?#][\w.\[%-]{1,40}(?:\]|%5D)?=).+", re.IGNORECASE | re.DOTALL)
_LONGEST_SPLIT = 1 << 15  # characters; shlex is slow


def of_this_process() -> dict[str, Any]:
    """The fields of a record that describe the current process."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": command(),
        "peak_rss": peak_rss(),
        "git": git_state(),
        "freeze": freeze(),
    }


def utc(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")


def command() -> str:
    """The command line as it can be typed again, without passwords."""
    name, *arguments = sys.argv or [""]
    return shlex.join([os.path.basename(name or "python"), *map(redact_argument, arguments)])


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


def peak_rss() -> int:
    """Peak memory in bytes of this process or of its largest child."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return max(resource.getrusage(one).ru_maxrss for one in who) * unit


@functools.cache
def freeze() -> dict[str, str]:
    """Installed packages and their versions."""
    found = ((item.metadata["Name"], item.version) for item in distributions())
    return dict(sorted((name, version) for name, version in found if name))


@functools.cache
def git_state() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that this code runs from; None if it is installed.

    This is read once per process, since a process runs the code that it has loaded.
    """
    package = Path(__file__).resolve().parents[1]
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "HEAD")
    changed = _git(package, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # Ctrl-C would end it too, and look like no checkout
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
