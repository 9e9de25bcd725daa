"""Zip archives of weights, of which nothing larger is read than they justify."""

from __future__ import annotations

import zipfile

from unidet.errors import UserError

UNPACKED_TIMES = 32
UNPACKED_BYTES = 64 << 20


def check_zip(archive: zipfile.ZipFile, size: int) -> None:
    """Check that every member can be read, and that together they are not too large.

    Raises:
        UserError: they would unpack to far more than `size` bytes, are encrypted or packed in a way
            that is not supported, or two have the same name.
    """
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise UserError("two members of it have the same name")
    for member in members:
        if member.flag_bits & 1:
            raise UserError(f"{member.filename!r:.60} in it is encrypted: decrypt it first")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(
                f"{member.filename!r:.60} in it is compressed by method {member.compress_type}; "
                f"pack it with deflate or not at all"
            )
    unpacked = sum(member.file_size for member in members)
    if unpacked > UNPACKED_BYTES + UNPACKED_TIMES * size:
        raise UserError(f"{size} bytes that would unpack to {unpacked}, which no weights do")


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's content: as many bytes as it declares, whatever its packed bytes unpack to."""
    with archive.open(name) as member:
        return member.read(archive.getinfo(name).file_size)
