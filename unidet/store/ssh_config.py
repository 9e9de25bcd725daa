"""Settings of SSH servers in ~/.ssh/config, and the proxies that lead to them."""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import Any

import paramiko

from unidet.errors import UserError

_HOST = re.compile(r"\w[\w.:-]*")  # what a shell takes for one word
_INCLUDE = re.compile(r"\s*include[\s=]+(.*)", re.IGNORECASE)
_SECTION = re.compile(r"\s*(host|match)[\s=]", re.IGNORECASE)
_DEEPEST = 16  # files that include each other, as in ssh
_KNOWN = "~/.ssh/known_hosts ~/.ssh/known_hosts2"  # where the user's config names no others


def settings_of(host: str, port: int | None) -> dict[str, Any]:
    """Settings of a host in ~/.ssh/config, as arguments of `KnownHosts` (ssh.py).

    Args:
        port: the one that was asked for, which goes before that of the file.
    """
    path = Path("~/.ssh/config").expanduser()
    first = "" if port is None else f"Port {port}\n"
    found = paramiko.SSHConfig.from_text(first + "\n".join(_lines(path))).lookup(host)
    options: dict[str, Any] = {
        "host": found["hostname"].lower(),  # as ssh writes it into known_hosts
        "known": found.get("userknownhostsfile", _KNOWN),
        "alias": found["hostkeyalias"].lower() if "hostkeyalias" in found else None,
    }
    if "user" in found:
        options["username"] = found["user"]
    files = found.get("identityfile", [])
    options["key_filename"] = [path for path in files if _is_text(path)]
    options["public"] = _public([*files, *(f"{path}.pub" for path in files)])
    if files and found.get("identitiesonly", "no").lower() == "yes":
        options |= {"allow_agent": False, "look_for_keys": False}
    if "port" in found:
        options["port"] = int(found["port"])
    command = _proxy(found)
    if command:
        if not _HOST.fullmatch(found["hostname"]):
            raise UserError(f"remote: {found['hostname']} is no name of a host for {command}")
        options["sock"] = _through(command)
    return options


def _lines(path: Path, section: str = "Host *", depth: int = 0) -> Iterator[str]:
    """Lines of a file of settings, and of those that it includes, which paramiko would ignore.

    Where an `Include` stands below a `Host` or `Match`, that limits what comes before the first
    such line of the included file, but not what comes after it, as it would in ssh.
    """
    if depth > _DEEPEST:
        raise UserError(f"remote: {path} is included more than {_DEEPEST} files deep")
    if not path.is_file():
        return
    for line in path.read_text("utf-8", "surrogateescape").splitlines():
        if _SECTION.match(line):
            section = line
        include = _INCLUDE.match(line)
        if not include:
            yield line
            continue
        for pattern in shlex.split(include[1], comments=True):
            names = Path("~/.ssh").expanduser() / Path(pattern).expanduser()
            for name in sorted(glob(str(names))):
                yield from _lines(Path(name), section, depth + 1)
        yield section


def _is_text(path: str) -> bool:
    """Whether a key can be read; ssh passes over others, as one that another machine has."""
    try:
        return bool(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return False


def _public(paths: list[str]) -> set[str]:
    """Public keys that these files hold, in base64."""
    texts = (Path(path).read_text("utf-8").split() for path in paths if _is_text(path))
    return {words[1] for words in texts if len(words) > 1}


def _proxy(found: Mapping[str, Any]) -> str | None:
    """The shell command whose standard input and output are the connection, if there is one."""
    jumps = found.get("proxyjump", "none").split(",")
    if jumps != ["none"]:
        *through, last = (one if "://" in one else f"ssh://{one}" for one in map(str.strip, jumps))
        target = f"[{found['hostname']}]:{found.get('port', 22)}"
        return shlex.join(
            ["ssh", *(["-J", ",".join(through)] if through else []), "-W", target, last]
        )
    return found.get("proxycommand")


def _through(command: str) -> socket.socket:
    """A connection through what a command starts, which ends when the connection does."""
    ours, theirs = socket.socketpair()
    with theirs:
        ends = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), descriptor) for descriptor in (0, 1)]
        shell = ["sh", "-c", f"exec {command}"]
        os.posix_spawn("/bin/sh", shell, os.environ, file_actions=ends)
    return ours
