"""Access to SFTP servers with the user's ~/.ssh/config, known_hosts and keys, as `ssh` does."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from unidet.errors import UserError
from unidet.redaction import redact_argument
from unidet.store.ssh_config import settings_of
from unidet.store.ssh_files import ReadAhead

_PORT = 22
_OF_HOME = re.compile(r"/~((?:/.*)?)$", re.DOTALL)
PATIENCE = 60.0  # seconds to wait for one answer of a server
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
        return ReadAhead(file) if mode == "rb" else file

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

    As for curl, `/~/folder` is below the home folder there, where sessions begin.

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
    options = settings_of(host, port)
    given = {"username": parts.username, "password": parts.password}
    options |= {name: unquote(value) for name, value in given.items() if value is not None}
    system = KnownHosts(options.pop("host"), **options)
    below = _OF_HOME.match(parts.path)
    return system, f"{system.ftp.normalize('.')}{below[1]}" if below else parts.path


def _as_given(place: str) -> str:
    """The host of `[user[:password]@]host[:port]`; ~/.ssh/config may know it by its capitals."""
    host = place.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
