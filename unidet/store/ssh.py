"""Access to SFTP servers with the user's ~/.ssh/config, known_hosts and keys, as `ssh` does."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem
from paramiko.sftp import CMD_DATA, CMD_READ, int64

from unidet.errors import UserError
from unidet.redaction import redact_argument

_HOST = re.compile(r"\w[\w.:-]*")  # what a shell takes for one word
_PORT = 22
PATIENCE = 60.0  # seconds to wait for one answer of a server
_KNOWN = "~/.ssh/known_hosts ~/.ssh/known_hosts2"  # where the user's config names no others
OF_ALL_USERS = "/etc/ssh/ssh_known_hosts"
# What paramiko says of a server that does not answer, by how far it has come.
_SILENT = (
    "Error reading SSH protocol banner",
    "No existing session",
    "Authentication timeout.",
    "Timeout opening channel.",
)
# It writes tracebacks, with what the server said, beside the errors that it raises.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class KnownHosts(SFTPFileSystem):
    """SFTP file system that accepts only known hosts; fsspec's own class accepts any host."""

    cachable = False

    def __init__(self, host: str, *, known: str, alias: str | None, **options: Any) -> None:
        """`known`: files of keys; `alias`: the name under which they have that of this server."""
        self._known, self._alias = known, alias
        super().__init__(host, **options)

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self._know()
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            self._begin()
            session = self._session()
        except paramiko.SSHException as error:
            if str(error) in _SILENT:
                raise TimeoutError from error
            raise
        self.ftp = paramiko.SFTPClient(cast(paramiko.Channel, _Patient(session)))

    def _know(self) -> None:
        known = paramiko.HostKeys()
        for path in (*shlex.split(self._known), OF_ALL_USERS):
            with suppress(OSError):  # most machines have only one of them
                known.load(os.path.expanduser(path))
        port = self.ssh_kwargs.get("port", _PORT)
        name = self.host if port == _PORT else f"[{self.host}]:{port}"
        for kind, key in (known.lookup(self._alias or name) or {}).items():
            self.client.get_host_keys().add(name, kind, key)

    def _begin(self) -> None:
        limits = ("timeout", "banner_timeout", "auth_timeout", "channel_timeout")
        try:
            self.client.connect(self.host, **dict.fromkeys(limits, PATIENCE), **self.ssh_kwargs)
        except (paramiko.SSHException, EOFError) as error:
            cause = error if isinstance(error, EOFError) else error.__context__
            if not isinstance(cause, (EOFError, ConnectionResetError)):
                raise
            asked = "is this the port of an SSH server"
            if "sock" in self.ssh_kwargs:
                asked = "does the ProxyJump or ProxyCommand of ~/.ssh/config reach it"
            raise ConnectionError(f"ends the connection at once; {asked}?") from error

    def _session(self) -> paramiko.Channel:
        transport = self.client.get_transport()
        if transport is None:
            raise paramiko.SSHException("the server has ended the connection")
        channel = transport.open_session(timeout=PATIENCE)
        channel.settimeout(PATIENCE)  # for each answer, not for a whole file
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            self.cut()

        silence = threading.Timer(PATIENCE, give_up)  # the next call has no timeout of its own
        silence.start()
        try:
            channel.invoke_subsystem("sftp")
        except (paramiko.SSHException, EOFError) as error:
            if is_late.is_set():
                raise TimeoutError from error
            raise
        finally:
            silence.cancel()
        return channel

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super()._open(path, mode, **options)
        return _Ahead(file) if mode == "rb" else file

    def put_file(self, lpath: str, rpath: str, *given: object, **options: object) -> None:
        """Copy a file to the server; the caller asks how much of it has arrived.

        paramiko says the same of all errors that a server tells meanwhile, as of a full disk.
        """
        self.ftp.put(lpath, rpath, confirm=False)

    def cut(self) -> None:
        """End the connection, so that waiting calls fail; safe in a signal handler."""
        transport = self.client.get_transport()
        if transport is not None:
            with suppress(OSError):
                transport.sock.shutdown(socket.SHUT_RDWR)


class _Ahead:
    """A file of a server, of which a whole piece is asked for before the first answer is read.

    paramiko waits for each 32 kB: 1 MB a second over a line of 30 ms. Its own `readv` asks in a
    thread; what that still asks for after the reader has overtaken it is sent twice, and kept.
    """

    def __init__(self, file: paramiko.SFTPFile) -> None:
        self._file = file
        self._server: Any = file.sftp  # its methods for requests have no public names
        self._place = 0
        self._is_over = False
        self._answers: dict[int, tuple[int, paramiko.Message]] = {}

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end, after which nothing is asked for."""
        if self._is_over:
            return b""
        step, end = self._file.MAX_REQUEST_SIZE, self._place + count
        asked = [(at, min(step, end - at)) for at in range(self._place, end, step)]
        numbers = [self._ask(*part) for part in asked]
        piece = bytearray()
        for (at, length), number in zip(asked, numbers, strict=True):
            data = self._answer(number)
            while data and len(data) < length:  # a server may send less than it was asked for
                more = self._answer(self._ask(at + len(data), length - len(data)))
                if not more:
                    break
                data += more
            piece += data[:length]
            if len(data) < length:
                self._is_over = True
                break
        self._place += len(piece)
        return bytes(piece)

    def _ask(self, place: int, length: int) -> int:
        given = (self._file.handle, int64(place), length)
        return cast(int, self._server._async_request(self, CMD_READ, *given))

    def _async_response(self, kind: int, answer: paramiko.Message, number: int) -> None:
        """What paramiko calls with each answer to what was asked in this object's name."""
        self._answers[number] = kind, answer

    def _answer(self, number: int) -> bytes:
        """Nothing at the end of the file."""
        while number not in self._answers:
            self._server._read_response()
        kind, answer = self._answers.pop(number)
        if kind == CMD_DATA:
            return answer.get_string()
        with suppress(EOFError):
            self._server._convert_status(answer)
        return b""

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        # Without an answer, which a lost connection would turn into an error of its own.
        self._file._close(async_=True)


class _Patient:
    """The channel of an SFTP session, which does not wait any more after one timeout.

    Otherwise paramiko would wait for as long again for each further answer while it closes.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._is_silent = False

    def recv(self, count: int) -> bytes:
        with self._once():
            return self._channel.recv(count)

    def send(self, data: bytes) -> int:
        with self._once():
            return self._channel.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    @contextmanager
    def _once(self) -> Iterator[None]:
        if self._is_silent:
            raise TimeoutError
        try:
            yield
        except TimeoutError:
            self._is_silent = True
            raise


def connect(url: str) -> tuple[KnownHosts, str]:
    """The file system of `sftp://[user@]host[:port]/folder` and the folder on it.

    Raises:
        UserError: the address names no host.
        OSError, paramiko.SSHException: the server cannot be reached, is not known, or refuses.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname and _as_given(parts.netloc), parts.port
    except ValueError:  # its message may contain part of a password with a slash
        host = None
    if not host:
        raise UserError(
            f"remote {redact_argument(url)}: names no host; give sftp://user@host/folder"
        )
    options = _of_config(host, port)
    given = {"username": parts.username, "password": parts.password}
    options |= {name: unquote(value) for name, value in given.items() if value is not None}
    return KnownHosts(options.pop("host"), **options), parts.path


def _as_given(place: str) -> str:
    """The host of `[user[:password]@]host[:port]`; ~/.ssh/config may know it by its capitals."""
    host = place.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _of_config(host: str, port: int | None) -> dict[str, Any]:
    """Settings of a host in ~/.ssh/config, as arguments of paramiko's `connect`.

    Args:
        port: the one that was asked for, which goes before that of the file.
    """
    path = Path("~/.ssh/config").expanduser()
    first = "" if port is None else f"Port {port}\n"
    text = path.read_text(errors="surrogateescape") if path.is_file() else ""
    found = paramiko.SSHConfig.from_text(first + text).lookup(host)
    options: dict[str, Any] = {
        "host": found["hostname"].lower(),  # as ssh writes it into known_hosts
        "known": found.get("userknownhostsfile", _KNOWN),
        "alias": found["hostkeyalias"].lower() if "hostkeyalias" in found else None,
    }
    for name, key in (("username", "user"), ("key_filename", "identityfile")):
        if key in found:
            options[name] = found[key]
    if "port" in found:
        options["port"] = int(found["port"])
    command = _proxy(found)
    if command:
        if not _HOST.fullmatch(found["hostname"]):
            raise UserError(f"remote: {found['hostname']} is no name of a host for {command}")
        options["sock"] = _through(command)
    return options


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
