"""What errors of networks and file systems mean for a remote, in words for its users."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from unidet.redaction import redact

# A connection that ends: errors, and what paramiko says in errors of other kinds.
_ENDS = (EOFError, BrokenPipeError, ConnectionResetError, ConnectionAbortedError)
_LOST = ("Server connection dropped", "Socket is closed")
# Those of aiohttp and botocore, whose modules are not loaded for other remotes.
_LOST_KINDS = ("ClientPayloadError", "ConnectionClosedError")
# What ssh and SFTP say as they refuse, and what helps.
_ONCE = "connect to it once by ssh, which shows its key and asks"
_ROOM = "free some space there and run this again, it continues"
_ADVICE = {
    "host key is known for": _ONCE,
    "has changed and you have requested": "it may be another machine; if its key was changed, "
    "remove the old one by ssh-keygen -R",
    "is marked as revoked": "ask who runs this server for its new key",
    "Host key verification failed": _ONCE,  # of a jump host
    "are too open": "let nobody else read this key (chmod 600)",
    "ssh_askpass: exec": "set TMPDIR to a folder from which programs may run",
    "Permission denied (": "check the password, if the address has one; or give a key that logs in "
    "without a question, by ssh-add or as IdentityFile in ~/.ssh/config, or open a connection that "
    "ssh shares (ControlMaster)",
    "Too many authentication failures": "give the right key as IdentityFile, with IdentitiesOnly "
    "yes, in ~/.ssh/config",
    ": open failed: ": "the jump host does not connect to it",
    "subsystem request failed": "it offers no SFTP",
    "Garbage packet received": "a program prints text at each log-in there, as from ~/.bashrc",
    "Operation unsupported": "its server must be able to replace files, as OpenSSH's is",
    os.strerror(errno.ENOSPC): _ROOM,
    os.strerror(errno.EDQUOT): _ROOM,
}
# What also follows from all that fails on the way to a server.
_NO_SERVER = ("kex_exchange_identification", "banner exchange")
_PORT = "is this the port of an SSH server, and not too busy?"
_OF_TARGET = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# All that SFTP says of a disk that is full or cannot be read, and of most else.
_FAILED = "Failure"
_DISK = "full, read-only or damaged"
# All that S3 says where it answers without a text, as it does when asked whether a file is there.
_NO_TEXT = ("Bad Request", "Forbidden")
_WHO = "are the credentials right and still valid, and may they list and read this bucket?"


def words(error: BaseException) -> str:
    """An error of a connection in one line, with what to do about it."""
    if any(map(_is_silence, _chain(error))):
        return "does not answer; look at the server or the network, and run this again"
    text = redact(" ".join(_text(error).split())) or type(error).__name__
    if _is_end(error):
        return f"the connection was lost ({text.rstrip(': ')}); run this again, it continues"
    if isinstance(error, RecursionError):  # botocore follows the server to another region
        return "is redirected without end; look at the region and the address of the endpoint"
    if text == _FAILED:
        return f"the server failed, and says no more; look at its disk, which may be {_DISK}"
    advices = {**_ADVICE, **dict.fromkeys(_NO_SERVER, _PORT)}
    advice = next((advice for said, advice in advices.items() if said in text), "")
    return _about_rights(error) or (f"{text.rstrip('.')}; {advice}" if advice else text)


def reason(text: str) -> str:
    """The line of ssh's messages that says why it has ended; empty where there is none.

    A banner of a jump host or a warning may stand before it, and behind it what follows from it.
    """
    lines = [line.strip() for line in text.splitlines()]
    known = (line for said in _ADVICE for line in lines if said in line)
    return next(known, next(filter(None, lines), ""))


def _text(error: BaseException) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    files = [str(name) for name in (error.filename, error.filename2) if name]
    if error.errno in _OF_TARGET:  # Python names both files of a copy
        files = files[-1:]
    return f"{' → '.join(files)}: {error.strerror}" if files else error.strerror


def refusal(error: BaseException) -> str:
    """Why one file cannot be read."""
    return _about_rights(error) or str(getattr(error, "strerror", None) or error)


def _about_rights(error: BaseException) -> str:
    """What S3 means where it may say no more; otherwise empty."""
    text = getattr(error, "strerror", None) or str(error)
    return f"{text}; {_WHO}" if text in _NO_TEXT else ""


def is_of_one_file(error: BaseException) -> bool:
    """Whether the next file may still be read: this one is private, broken or just removed."""
    is_broken = isinstance(error, OSError) and (error.errno == errno.EIO or str(error) == _FAILED)
    return is_broken or isinstance(error, (PermissionError, FileNotFoundError))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it: s3fs fails as it looks into a timeout."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_end(error: BaseException) -> bool:
    is_lost = isinstance(error, _ENDS) or type(error).__name__ in _LOST_KINDS
    return is_lost or str(error).startswith(_LOST)


def _is_silence(error: BaseException) -> bool:
    """Whether a server did not answer, or took nothing. botocore has errors of its own for that."""
    inner = getattr(error, "kwargs", {}).get("error")
    is_late = getattr(inner, "errno", None) == errno.ETIMEDOUT
    return is_late or isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
