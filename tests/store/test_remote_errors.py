"""What errors of servers and libraries become in a message."""

from __future__ import annotations

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


def test_a_password_that_the_server_does_not_take() -> None:
    """As paramiko tells it."""
    said = words(ValueError("Bad authentication type; allowed types: ['publickey']"))
    assert "['publickey']; it takes no password; give a key" in said


def test_an_error_that_speaks_for_itself() -> None:
    assert words(OSError(5, "Input/output error")) == "Input/output error"
    assert words(OSError(30, "Read-only file system", "/mnt/x")) == "/mnt/x: Read-only file system"
    assert words(ValueError()) == "ValueError"
