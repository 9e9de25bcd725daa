"""An SFTP server reached as `ssh` reaches it: ~/.ssh/config, known_hosts and one's own keys."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

from unidet.errors import UserError
from unidet.store.provenance import redact

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
        self.ftp = self.client.open_sftp()
        channel = self.ftp.get_channel()
        if channel is not None:
            channel.settimeout(PATIENCE)  # of every single answer, not of a whole file


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
        raise UserError(f"remote {redact(url)}: names no host; give sftp://user@host/folder")
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
