"""Access to SFTP servers with the user's ~/.ssh/config, known_hosts and keys, as `ssh` does."""

from __future__ import annotations

import logging
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from unidet.errors import UserError
from unidet.redaction import redact_argument
from unidet.store.known_hosts import Known, known_by
from unidet.store.ssh_config import settings_of
from unidet.store.ssh_files import ReadAhead

_PORT = 22
_OF_HOME = re.compile(r"/~((?:/.*)?)$", re.DOTALL)
PATIENCE = 60.0  # seconds to wait for one answer of a server
# What it says where a server has ended the connection while a user logs in with several keys.
_ENDED = ("No existing session", "Authentication failed: transport shut down or saw EOF")
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

    def __init__(
        self, host: str, *, known: str, alias: str | None, public: set[str], **options: Any
    ) -> None:
        """Connect to a server.

        Args:
            known: files of keys of servers.
            alias: the name under which they have that of this server.
            public: keys in base64, of which one that ssh-agent has goes before its others.
        """
        self._files, self._alias, self._public = known, alias, public
        super().__init__(host, **options)

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        port, files = self.ssh_kwargs.get("port", _PORT), (*shlex.split(self._files), OF_ALL_USERS)
        names = (self.host,) if port == _PORT else (f"[{self.host}]:{port}", self.host)
        self._known = known_by((self._alias,) if self._alias else names, files)
        self._policy = _Policy(self._known)
        self.client.set_missing_host_key_policy(self._policy)
        try:
            self._begin()
            session = self._session()
        except paramiko.SSHException as error:
            if str(error) in _SILENT:
                raise TimeoutError from error
            raise
        self.ftp = paramiko.SFTPClient(cast(paramiko.Channel, _Patient(session)))

    def _begin(self) -> None:
        limits = ("timeout", "banner_timeout", "auth_timeout", "channel_timeout")
        try:
            with closing(paramiko.Agent()) as agent:
                keys = (key for key in agent.get_keys() if key.get_base64() in self._public)
                self.client.connect(
                    self.host,
                    pkey=next(keys, None),
                    transport_factory=self._transport,
                    **dict.fromkeys(limits, PATIENCE),
                    **self.ssh_kwargs,
                )
        except (paramiko.SSHException, EOFError) as error:
            self.client.close()
            cause = error if isinstance(error, EOFError) else error.__context__
            is_end = isinstance(cause, (EOFError, ConnectionResetError))
            if self._policy.has_met and (is_end or str(error) in _ENDED):
                raise ConnectionError(
                    "the server ends the log-in; if ssh-agent has many keys, give one as "
                    "IdentityFile, with IdentitiesOnly yes, in ~/.ssh/config"
                ) from error
            if not is_end:
                raise
            asked = "is this the port of an SSH server, and not too busy"
            if "sock" in self.ssh_kwargs:
                asked = "does the ProxyJump or ProxyCommand of ~/.ssh/config reach it"
            raise ConnectionError(f"ends the connection at once; {asked}?") from error

    def _transport(self, *given: Any, **options: Any) -> paramiko.Transport:
        """A connection that asks for a key of the kinds that are known."""
        transport = _NoQuestions(*given, **options)
        security, kinds = transport.get_security_options(), self._known.kinds()
        kinds |= {"rsa-sha2-256", "rsa-sha2-512"} if "ssh-rsa" in kinds else set()
        security.key_types = sorted(security.key_types, key=lambda kind: kind not in kinds)
        return transport

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

    def put_file(self, lpath: str, rpath: str, callback: Any, **options: object) -> None:
        """Copy a file to the server; the caller asks how much of it has arrived.

        paramiko says the same of all errors that a server tells meanwhile, as of a full disk.
        """
        self.ftp.put(lpath, rpath, lambda sent, _: callback.absolute_update(sent), confirm=False)

    def cut(self) -> None:
        """End the connection, so that waiting calls fail; safe in a signal handler."""
        transport = self.client.get_transport()
        if transport is not None:
            with suppress(OSError):
                transport.sock.shutdown(socket.SHUT_RDWR)


class _Policy(paramiko.MissingHostKeyPolicy):
    """Accepts a server whose key is known; the client itself knows none.

    Attributes:
        has_met: whether it was asked, before the user logs in.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self.has_met = False

    def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:
        self.has_met = True
        if key in self._known.revoked:
            raise paramiko.SSHException("its key is marked as @revoked in known_hosts")
        if not self._known.valid:
            raise paramiko.SSHException(f"Server {hostname!r} not found in known_hosts")
        if key not in self._known.valid:
            raise paramiko.SSHException(f"{hostname!r} has another key than in known_hosts")


class _NoQuestions(paramiko.Transport):
    """A connection on which a server asks its user nothing.

    paramiko would print what the server sends as it is, and wait for an answer at every connection.
    """

    def auth_interactive_dumb(self, *given: Any, **options: Any) -> list[str]:
        raise paramiko.AuthenticationException("the server asks for more than a key")


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
