"""What errors of servers and libraries become in a message."""

from __future__ import annotations

import errno
import os

import pytest

from unidet.store.remote_errors import refusal, words

RIGHTS = "are the credentials right and still valid, and may they list and read this bucket?"


@pytest.mark.parametrize("text", ["Bad Request", "Forbidden"])
def test_s3_that_may_not_say_why_it_refuses(text: str) -> None:
    """To the question whether a file is there it answers without a text: a token is too old."""
    assert words(OSError(22, text)) == f"{text}; {RIGHTS}"
    assert refusal(PermissionError(text)) == f"{text}; {RIGHTS}"
    assert refusal(PermissionError(13, "Permission denied")) == "Permission denied"


def test_sftp_that_says_no_more_than_that_it_failed() -> None:
    assert words(OSError("Failure")).startswith("the server failed, and says no more; look at its")
    assert "replace files" in words(OSError("Operation unsupported"))


def test_a_redirection_without_end() -> None:
    """A http:// endpoint that leads to its https://, in botocore."""
    said = words(RecursionError("maximum recursion depth exceeded"))
    assert said == "is redirected without end; look at the region and the address of the endpoint"


def test_an_error_that_speaks_for_itself() -> None:
    assert words(OSError(5, "Input/output error")) == "Input/output error"
    assert words(OSError(30, "Read-only file system", "/mnt/x")) == "/mnt/x: Read-only file system"
    assert words(ValueError()) == "ValueError"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_copy_that_finds_no_room_names_where_it_goes(number: int) -> None:
    """Python names what is copied first, which may lie on another disk."""
    said = words(OSError(number, os.strerror(number), "/home/me/blob", None, "/mnt/stick/blob"))
    assert said.startswith(f"/mnt/stick/blob: {os.strerror(number)}; free some space there")
    said = words(OSError(5, "Input/output error", "/home/me/blob", None, "/mnt/stick/blob"))
    assert said == "/home/me/blob → /mnt/stick/blob: Input/output error"
