"""Access to S3 through s3fs, which gives up on a server that does not answer."""

from __future__ import annotations

import asyncio
import logging
import socket
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Any

from fsspec.asyn import sync
from s3fs import S3FileSystem

PATIENCE = 20.0  # seconds to wait for one answer, and for the server to take the next bytes
ATTEMPTS = 3  # so a minute in all
_END = 1.0  # seconds that requests get to end in
_RENEW = "log in or renew them as for other programs, for example by: aws sso login"
# They write tracebacks beside the errors that they raise.
for _name in ("botocore", "aiobotocore"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Buckets(S3FileSystem):
    """S3 whose requests can be ended: what the interpreter finds of them at its exit, it reports as
    tracebacks."""

    cachable = False

    def cut(self) -> None:
        """End what waits for the server; safe in a signal handler."""
        with suppress(NotYet):
            asyncio.run_coroutine_threadsafe(_end_requests(), self.loop).result(_END)


async def _end_requests() -> None:
    requests = asyncio.all_tasks() - {asyncio.current_task()}
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)


def connect(url: str) -> tuple[Buckets, str]:
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
    session = _session()
    system = Buckets(session=session, config_kwargs=settings)
    system.retries = 1
    sync(system.loop, _get_credentials, session)
    return system, system._strip_protocol(url)


async def _get_credentials(session: Any) -> None:
    """Have the credentials before the first request, where a file of theirs that is missing would
    look like a store that is missing."""
    try:
        credentials = await session.get_credentials()
        if credentials is not None:
            await credentials.get_frozen_credentials()
    except Exception as error:
        raise ConnectionError(f"no credentials: {error}; {_RENEW}") from error


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
