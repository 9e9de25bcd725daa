"""A server of files on this machine, which can be told to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """What a server has, and what it was asked for.

    Attributes:
        files: path -> content.
        refuses: path -> status.
        breaks: path -> after how many bytes each of the next answers ends.
        asked: (path, Range) of every request.
        has_ranges, has_versions: whether it serves ranges, and tells versions (ETag).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    refuses: dict[str, int] = field(default_factory=dict)
    breaks: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    has_ranges: bool = True
    has_versions: bool = True
    address: str = ""


@contextmanager
def serving() -> Iterator[Served]:
    """A server on the loopback while the context lasts."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, served)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, served: Served) -> None:
    asked = handler.headers.get("Range", "")
    served.asked.append((handler.path, asked))
    content = served.files.get(handler.path)
    if content is None or handler.path in served.refuses:
        handler.send_error(served.refuses.get(handler.path, 404))
        return
    version = f'"{hash(content)}"'
    start = int(asked.removeprefix("bytes=").rstrip("-") or 0) if served.has_ranges else 0
    if handler.headers.get("If-Range", version) != version:
        start = 0
    if start > len(content):
        handler.send_error(416)
        return
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Length", str(len(content) - start))
    if served.has_versions:
        handler.send_header("ETag", version)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.end_headers()
    breaks = served.breaks.get(handler.path)
    handler.wfile.write(content[start:][: breaks.pop(0) if breaks else None])
