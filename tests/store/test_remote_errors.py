"""What errors of servers and libraries become in a message."""

from __future__ import annotations

import errno
import os

import pytest

from unidet.store.remote_errors import reason, refusal, words

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


DENIED = "me@x: Permission denied (publickey)."
BOX = "@@@\n@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\n@@@\n"
NOT_SENT = "kex_exchange_identification: Connection closed by remote host"


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        (f"Welcome\nto us\n{DENIED}\n{NOT_SENT}", DENIED[:-1], "check the password"),
        (f"Welcome\nchannel 0: open failed: x\n{NOT_SENT}", "channel 0: open", "the jump host"),
        (f"{BOX}Permissions 0644 for 'k' are too open.\n{DENIED}", "Permissions", "chmod 600"),
        (f"{BOX}The key for x is marked as revoked.\nHost key verification failed.", "The", "new"),
        (f"Permission denied, please try again.\r\n{DENIED}\r\n", DENIED[:-1], "the password"),
        (f"ssh_askpass: exec(/tmp/a): Permission denied\n{DENIED}", "ssh_askpass", "TMPDIR"),
        (f"exec: nc: not found\n{NOT_SENT}", "exec: nc: not found", ""),
        (NOT_SENT, NOT_SENT, "not too busy?"),
    ],
)
def test_why_ssh_has_ended(text: str, line: str, advice: str) -> None:
    """Between a jump host's banner and warnings in boxes, and what follows from the reason."""
    said = words(ConnectionError(reason(text)))
    assert said.startswith(line)
    assert advice in said
