"""An SFTP server reached as `ssh` reaches it: ~/.ssh/config, known_hosts and one's own keys."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast
from urllib.parse import urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from unidet.errors import UserError
from unidet.store.provenance import redact_argument

PATIENCE = 60.0  # seconds that a server may take for one answer


class KnownHosts(SFTPFileSystem):
    """fsspec's own class trusts any server that answers; this one trusts known hosts alone."""

    cachable = False

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        limits = dict.fromkeys(
            ("timeout", "banner_timeout", "auth_timeout", "channel_timeout"), PATIENCE
        )
        self.client.connect(self.host, **limits, **self.ssh_kwargs)
        self.ftp = paramiko.SFTPClient(cast(paramiko.Channel, _Patient(self._session())))

    def _session(self) -> paramiko.Channel:
        transport = self.client.get_transport()
        if transport is None:
            raise paramiko.SSHException("the server has ended the connection")
        channel = transport.open_session(timeout=PATIENCE)
        channel.settimeout(PATIENCE)  # of every single answer, not of a whole file
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            self.cut()

        silence = threading.Timer(PATIENCE, give_up)  # for the next call waits without end
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

    def cut(self) -> None:
        """End the connection under whoever waits for the server; safe in a signal handler."""
        transport = self.client.get_transport()
        if transport is not None:
            with suppress(OSError):
                transport.sock.shutdown(socket.SHUT_RDWR)


class _Patient:
    """The channel of an SFTP session, which waits for one answer too long and then for none.

    Else paramiko, tidying up, would wait as long for each further one.
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
    """The file system behind `sftp://[user@]host[:port]/folder`, and the folder on it.

    Raises:
        UserError: the address names no host.
        OSError, paramiko.SSHException: the server cannot be reached, is not known, or refuses.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # its message may hold a piece of a password with a slash in it
        host = None
    if not host:
        raise UserError(
            f"remote {redact_argument(url)}: names no host; give sftp://user@host/folder"
        )
    options = _of_config(host)
    given = {"username": parts.username, "port": port, "password": parts.password}
    options |= {name: value for name, value in given.items() if value is not None}
    return KnownHosts(options.pop("host"), **options), parts.path


def _of_config(host: str) -> dict[str, Any]:
    """What ~/.ssh/config says of a host, as arguments of paramiko's connect."""
    path = os.path.expanduser("~/.ssh/config")
    if not os.path.isfile(path):
        return {"host": host}
    found = paramiko.SSHConfig.from_path(path).lookup(host)
    options: dict[str, Any] = {"host": found["hostname"]}
    for name, key in (("username", "user"), ("key_filename", "identityfile")):
        if key in found:
            options[name] = found[key]
    if "port" in found:
        options["port"] = int(found["port"])
    return options
