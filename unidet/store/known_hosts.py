"""Keys of SSH servers in files of known hosts, which are read as `ssh` reads them.

paramiko's own reader fails at a line that it cannot read, of whatever host, and at a line with a
marker; it knows no patterns, and of several keys of one kind, as of login nodes that share a name,
it takes only the first.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import paramiko

_UNREADABLE = (binascii.Error, ValueError, paramiko.SSHException, paramiko.UnknownKeyType)


@dataclass(frozen=True)
class Known:
    """The keys that a server may have, and those that it must not have (`@revoked`)."""

    valid: list[paramiko.PKey]
    revoked: list[paramiko.PKey]

    def kinds(self) -> set[str]:
        """Kinds of the valid keys, as `ssh-ed25519`."""
        return {key.get_name() for key in self.valid}


def known_by(names: Iterable[str], paths: Collection[str]) -> Known:
    """What these files have for a server, under the first of its names that they have.

    Args:
        names: of the host; with another port than 22 as `[host]:port`, and then alone.
    """
    found = (_of_name(name, paths) for name in names)
    return next((known for known in found if known.valid or known.revoked), Known([], []))


def _of_name(name: str, paths: Collection[str]) -> Known:
    found = Known([], [])
    for path in paths:
        with suppress(OSError):  # most machines have only one of them
            text = Path(path).expanduser().read_text("utf-8", "surrogateescape")
            for marker, key in _keys(name, text):
                # Of an authority, which signs keys of servers; paramiko does not ask for these.
                if marker != "@cert-authority":
                    (found.revoked if marker == "@revoked" else found.valid).append(key)
    return found


def _keys(name: str, text: str) -> Iterator[tuple[str, paramiko.PKey]]:
    """Marker, or nothing, and key of each line that is of this host and can be read."""
    for line in text.splitlines():
        marker, _, rest = line.strip().partition(" ") if line.startswith("@") else ("", "", line)
        names, *key = rest.split()[:3] or [""]
        if len(key) == 2 and not names.startswith("#") and _is_of(name, names):
            with suppress(*_UNREADABLE):
                kind, data = key
                yield marker, paramiko.PKey.from_type_string(kind, b64decode(data, validate=True))


def _is_of(name: str, names: str) -> bool:
    """Whether a list of names, hashed names and patterns, some with a `!` before, has this one."""
    given = [one for one in names.lower().split(",") if not one.startswith("|")]
    if any(_fits(name, one[1:]) for one in given if one.startswith("!")):
        return False
    hashed = (one for one in names.split(",") if one.startswith("|"))
    return any(_fits(name, one) for one in given) or any(_is_hash_of(name, one) for one in hashed)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))  # only * and ? are special there


def _is_hash_of(name: str, hashed: str) -> bool:
    with suppress(ValueError):
        _, version, salt, digest = hashed.split("|")
        wanted = hmac.digest(b64decode(salt), name.encode(), "sha1")
        return version == "1" and hmac.compare_digest(wanted, b64decode(digest))
    return False
