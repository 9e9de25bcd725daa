"""Access to S3 through s3fs, which gives up on a server that does not answer."""

from __future__ import annotations

import socket
from typing import Any

from fsspec.core import url_to_fs

PATIENCE = 20.0  # seconds to wait for one answer, and for the server to take the next bytes
ATTEMPTS = 3  # so a minute in all


def connect(url: str) -> tuple[Any, str]:
    """The file system of `s3://bucket/folder` and the folder on it.

    By default botocore would make five attempts of a minute, and s3fs would make each five times.
    """
    limits = {"connect_timeout": PATIENCE, "read_timeout": PATIENCE}
    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    settings = {
        **limits,
        "retries": retries,
        "connector_args": {"socket_factory": _socket},
        # All content is hashed here; botocore would end a transfer at one file that is altered.
        "response_checksum_validation": "when_required",
    }
    system, folder = url_to_fs(
        url, skip_instance_cache=True, session=_session(), config_kwargs=settings
    )
    system.retries = 1
    return system, folder


def _session() -> Any:
    """One that sends content at once: aiohttp waits without limit for a "100 Continue"."""
    from aiobotocore.session import AioSession
    from botocore.handlers import add_expect_header

    session = AioSession()
    session.unregister("before-call.s3", add_expect_header)
    return session


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose connection ends if the server takes no bytes for `PATIENCE`.

    `address` is one of `socket.getaddrinfo`. aiohttp limits only the reading of answers. Only Linux
    has this limit.
    """
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = int(PATIENCE * 1000)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return opened
