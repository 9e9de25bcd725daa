"""Files of SFTP servers, read as fast as the line is."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import paramiko
from paramiko.sftp import CMD_DATA, CMD_READ, int64


class ReadAhead:
    """A file of a server, of which a whole piece is asked for before the first answer is read.

    paramiko waits for each 32 kB: 1 MB a second over a line of 30 ms. Its own `readv` asks in a
    thread; what that still asks for after the reader has overtaken it is sent twice, and kept.
    """

    def __init__(self, file: paramiko.SFTPFile) -> None:
        self._file = file
        self._server: Any = file.sftp  # its methods for requests have no public names
        self._place = 0
        self._is_over = False
        self._answers: dict[int, tuple[int, paramiko.Message]] = {}

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end, after which nothing is asked for."""
        if self._is_over:
            return b""
        step, end = self._file.MAX_REQUEST_SIZE, self._place + count
        asked = [(at, min(step, end - at)) for at in range(self._place, end, step)]
        numbers = [self._ask(*part) for part in asked]
        piece = bytearray()
        for (at, length), number in zip(asked, numbers, strict=True):
            data = self._answer(number)
            while data and len(data) < length:  # a server may send less than it was asked for
                more = self._answer(self._ask(at + len(data), length - len(data)))
                if not more:
                    break
                data += more
            piece += data[:length]
            if len(data) < length:
                self._is_over = True
                break
        self._place += len(piece)
        return bytes(piece)

    def _ask(self, place: int, length: int) -> int:
        given = (self._file.handle, int64(place), length)
        return cast(int, self._server._async_request(self, CMD_READ, *given))

    def _async_response(self, kind: int, answer: paramiko.Message, number: int) -> None:
        """What paramiko calls with each answer to what was asked in this object's name."""
        self._answers[number] = kind, answer

    def _answer(self, number: int) -> bytes:
        """Nothing at the end of the file."""
        while number not in self._answers:
            self._server._read_response()
        kind, answer = self._answers.pop(number)
        if kind == CMD_DATA:
            return answer.get_string()
        with suppress(EOFError):
            self._server._convert_status(answer)
        return b""

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        # Without an answer, which a lost connection would turn into an error of its own.
        self._file._close(async_=True)
