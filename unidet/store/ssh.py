"""Access to SFTP servers through the user's own `ssh`, with all that is set up for it."""

from __future__ import annotations

import logging
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from unidet.errors import UserError
from unidet.redaction import redact_argument
from unidet.store.remote_errors import reason
from unidet.store.ssh_files import ReadAhead

PATIENCE = 60.0  # seconds to wait for one answer of a server
_END = 5.0  # seconds that ssh gets to end in
_ENDED = "ssh begins no session, and does not say why"
_OF_HOME = re.compile(r"/~((?:/.*)?)$", re.DOTALL)
# ssh puts them into commands of the user's settings (ProxyCommand), and old versions as they are.
_HOST = re.compile(r"[\w:][\w.:%-]*")
_USER = re.compile(r"[^\s\0'\"`;&<>|(){}-][^\s\0'\"`;&<>|(){}]*")
# It never asks, opens nothing but this session, and shares a connection but makes none to share.
_OPTIONS = {
    "StrictHostKeyChecking": "yes",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
    "ConnectTimeout": "60",
    "NumberOfPasswordPrompts": "1",
    "LogLevel": "ERROR",
    "ControlMaster": "no",
    "ClearAllForwardings": "yes",
    "ForwardX11": "no",
    "ForwardAgent": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
}
_ASKED = """#!/bin/sh
[ "$PPID" = "$UNIDET_SSH" ] || exit 1
case "$1" in
    *[Pp]assword*) printf '%s\\n' "$UNIDET_SSH_PASSWORD" ;;
    *) exit 1 ;;
esac
"""
"""What ssh runs to ask a user: also whether a key is right; and its process for a jump host, for
another password."""
_NUMBERED = ["sh", "-c", 'export UNIDET_SSH=$$; exec "$@"', "sh"]
"""Runs a command that knows the number of its process."""
# paramiko logs what it does, which is not for users.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class SecureShell(SFTPFileSystem):
    """Files of an SFTP server, behind the standard input and output of OpenSSH's `ssh`.

    So a server is found, known and logged in to as in a terminal: by ~/.ssh/config, known_hosts,
    keys, agents, jump hosts and connections that are open already. Nothing is asked.
    """

    cachable = False

    def __init__(self, host: str, user: str | None, port: int | None, password: str | None) -> None:
        self._password = password
        self._command = [*(_NUMBERED if password else ())]
        self._command += ["ssh", *(f"-o{name}={value}" for name, value in _OPTIONS.items())]
        self._command += [f"-oBatchMode={'no' if password else 'yes'}"]
        self._command += [f"-p{port}"] if port is not None else []
        self._command += [f"-l{user}"] if user is not None else []
        self._command += ["-s", "--", host, "sftp"]
        super().__init__(host)

    def _connect(self) -> None:
        with TemporaryFile() as errors, _answering(self._password) as environment:
            self._line, self._process = _run(self._command, environment, errors)
            end = weakref.finalize(self, _end, self._line, self._process)
            try:
                self.ftp = paramiko.SFTPClient(cast(paramiko.Channel, _Patient(self._line)))
            except (paramiko.SSHException, paramiko.SFTPError, ConnectionError) as error:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END)
                said = str(error) if isinstance(error, paramiko.SFTPError) else _ENDED
                raise ConnectionError(_reason(errors) or said) from error
            except BaseException:
                end()
                raise

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super()._open(path, mode, **options)
        return ReadAhead(file) if mode == "rb" else file

    def put_file(self, lpath: str, rpath: str, callback: Any, **options: object) -> None:
        """Copy a file to the server; the caller asks how much of it has arrived.

        paramiko says the same of all errors that a server tells meanwhile, as of a full disk.
        """
        self.ftp.put(lpath, rpath, lambda sent, _: callback.absolute_update(sent), confirm=False)

    def cut(self) -> None:
        """End the connection, so that waiting calls fail; safe in a signal handler."""
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        _signal(self._process, signal.SIGTERM)


def _run(
    command: list[str], environment: dict[str, str], errors: IO[bytes]
) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """A process, and the socket behind its standard input and output.

    Raises:
        UserError: ssh is not installed.
    """
    if shutil.which("ssh") is None:
        raise UserError("remote: ssh is not installed (Debian, Ubuntu: apt install openssh-client)")
    line, theirs = socket.socketpair()
    line.settimeout(PATIENCE)
    with theirs:
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=errors,
            env=environment,
            start_new_session=True,  # where no Ctrl-C ends it, and no terminal asks
        )
    return line, process


def _end(line: socket.socket, process: subprocess.Popen[bytes]) -> None:
    line.close()
    _signal(process, signal.SIGTERM)
    try:
        process.wait(_END)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Also to what ssh has started, as the ssh of a jump host: it would wait on for its server."""
    if process.poll() is None:  # otherwise, or in a child of ours, its number may be another's
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


@contextmanager
def _answering(password: str | None) -> Iterator[dict[str, str]]:
    """An environment in which ssh is told a password, if there is one, and nobody is asked."""
    if not password:
        yield {**os.environ, "SSH_ASKPASS": "false"}  # the ssh of a jump host would ask
        return
    with TemporaryDirectory() as folder:
        program = Path(folder, "answer")
        program.write_text(_ASKED, "utf-8")
        program.chmod(0o700)
        yield {
            **os.environ,
            "SSH_ASKPASS": str(program),
            "SSH_ASKPASS_REQUIRE": "force",
            "DISPLAY": os.environ.get("DISPLAY", ":0"),  # without it, ssh before 8.4 would not ask
            "UNIDET_SSH_PASSWORD": password,
        }


def _reason(errors: IO[bytes]) -> str:
    errors.seek(0)
    return reason(errors.read(1 << 16).decode("utf-8", "replace"))


class _Patient:
    """The line to an SFTP server, which does not wait any more after one timeout.

    Otherwise paramiko would wait for as long again for each further answer while it closes.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._is_silent = False

    def recv(self, count: int) -> bytes:
        with self._once():
            return self._line.recv(count)

    def send(self, data: bytes) -> int:
        with self._once():
            return self._line.send(data)

    def recv_ready(self) -> bool:
        """Whether there is an answer to read, as of a paramiko.Channel."""
        waiting = select.poll()
        waiting.register(self._line, select.POLLIN)
        return bool(waiting.poll(0))

    def get_name(self) -> str:
        """What paramiko's log calls it."""
        return "ssh"

    def close(self) -> None:
        self._line.close()

    @contextmanager
    def _once(self) -> Iterator[None]:
        if self._is_silent:
            raise TimeoutError
        try:
            yield
        except TimeoutError:
            self._is_silent = True
            raise


def connect(url: str) -> tuple[SecureShell, str]:
    """The file system of `sftp://[user@]host[:port]/folder` and the folder on it.

    As for curl, `/~/folder` is below the home folder there, where sessions begin.

    Raises:
        UserError: the address names no host, or ssh is not installed.
        OSError: the server cannot be reached, is not known, or refuses.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname and _as_given(parts.netloc), parts.port
    except ValueError:  # its message may contain part of a password with a slash
        host = None
    if not host:
        remedy = "give sftp://user@host/folder"
        raise UserError(f"remote {redact_argument(url)}: names no host, or no port; {remedy}")
    user, password = (given and unquote(given) for given in (parts.username, parts.password))
    if not _HOST.fullmatch(host) or (user is not None and not _USER.fullmatch(user)):
        raise UserError(f"remote {redact_argument(url)}: no name of a host, or of a user")
    system = SecureShell(host, user, port, password)
    below = _OF_HOME.match(parts.path)
    return system, f"{system.ftp.normalize('.')}{below[1]}" if below else parts.path


def _as_given(place: str) -> str:
    """The host of `[user[:password]@]host[:port]`; ~/.ssh/config may know it by its capitals."""
    host = place.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
