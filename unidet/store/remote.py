"""A remote store, accessed through fsspec: a folder, an SFTP server, S3 and others.

It has the layout of a store (paths.py), so a remote folder can also be used directly as a store.
Data from a remote are not trusted: records are checked before use, content is hashed when it
arrives, and links are refused. One thing cannot be checked without computing again: that a result
belongs to its key.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from unidet.errors import UserError
from unidet.redaction import redact_argument
from unidet.store.addresses import OBJECT_STORES, RENAMING, connect
from unidet.store.disk import MOST_BYTES, make_folder, sync
from unidet.store.hashing import naming, sha256_file, write_all
from unidet.store.paths import Layout, is_digest
from unidet.store.record import Action, LaterFormat, StoredFile, record_of, to_bytes
from unidet.store.remote_errors import is_of_one_file, refusal, words

_REPLACE = "delete it there, and push it again from a store that has it"
_PIECE = 4 << 20  # bytes that are asked for at once

Progress = Callable[[int], None]


class Refused(UserError):
    """Data of a remote or an imported folder are damaged or not what their name says."""


class Remote:
    """The store at `url`: a folder, `sftp://user@host/folder`, `s3://bucket/folder`, …

    Attributes:
        url: the address without its password, so that it can be shown.
        received: bytes of content that were downloaded so far.

    Raises:
        UserError: the address cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = redact_argument(url)
        with self._clear_errors():
            self._system, root = connect(url)
        self.layout = Layout(Path(root))
        self._plain: set[Path] = set()
        self.received = 0

    def cut(self) -> None:
        """End the connection, if there is one, so that waiting calls fail immediately.

        It may be called from a signal handler.
        """
        cut = getattr(self._system, "cut", None)  # only connections to servers have it
        if cut is not None:
            cut()

    # --- reading -----------------------------------------------------------------------------

    def is_store(self) -> bool:
        """Whether a store is there: something was pushed."""
        return self._look(self.layout.base)[0] == "directory"

    def keys(self) -> Iterator[str]:
        """Keys of all records, and of what stands in place of one, which `action` refuses."""
        yield from (name.removesuffix(".json") for name, _ in self._list(self.layout.actions))

    def blobs(self) -> dict[str, int]:
        """sha256 -> size of all blobs, from listings."""
        listed = self._list(self.layout.blobs)
        return {name: size for name, size in listed if size is not None}

    def has(self, file: StoredFile) -> bool:
        """Whether content is there at this moment, with its size.

        Raises:
            Refused: something else is in its place.
        """
        self._system.invalidate_cache()
        return self._size(self.layout.blob(file.sha256)) == file.size

    def action(self, key: str) -> Action | None:
        """The record of a key, None where there is none.

        Raises:
            Refused: it is damaged, belongs to another key, or names a path outside the store.
        """
        path = self.layout.record(key)
        size = self._size(path)
        if size is None:
            return None
        if size > MOST_BYTES:
            raise self._refused(path, f"a record of {size} bytes")
        with self._clear_errors(path), self._system.open(str(path), "rb") as stream:
            data = stream.read(size)  # a server may go on for ever
        try:
            return record_of(key, data)
        except LaterFormat as error:
            raise self._refused(path, str(error)) from error
        except ValueError as error:
            raise self._refused(path, f"{error}; {_REPLACE}") from error

    def download(self, file: StoredFile, target: Path, progress: Progress | None = None) -> None:
        """Copy content to a new file and check it; a wrong file is removed.

        Raises:
            Refused: the content is missing, is a link or does not match its name.
        """
        path = self.layout.blob(file.sha256)
        size = self._size(path)
        if size is None:
            raise self._refused(path, "the content that a record names is missing")
        if size != file.size:  # either may be wrong
            raise self._wrong_size(path, size, file)
        try:
            self._copy(path, target, file.size, progress)
            if sha256_file(target) != file.sha256:
                raise self._refused(path, f"its content does not have this hash; {_REPLACE}")
            if (found := target.stat().st_size) != file.size:  # the server has told another
                raise self._wrong_size(path, found, file)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        sync(target)

    def _copy(self, path: Path, target: Path, size: int, progress: Progress | None) -> None:
        """Copy at most one byte more than expected, which shows that a file is too long."""
        left = size + 1
        with self._clear_errors(path):
            stream = self._system.open(str(path), "rb")
        with naming(target), stream, open(target, "xb") as out:
            while left:
                with self._clear_errors(path):
                    piece = stream.read(min(left, _PIECE))
                if not piece:
                    return
                out.write(piece)
                left -= len(piece)
                self.received += len(piece)
                if progress is not None:
                    progress(len(piece))

    # --- writing -----------------------------------------------------------------------------

    def upload(self, source: Path, file: StoredFile, progress: Progress = lambda _: None) -> None:
        """Copy content to the remote; it appears there completely or not at all.

        Args:
            progress: called with how many bytes of it were sent; never for a folder.

        Raises:
            Refused: the local content does not match its name.
        """
        if sha256_file(source) != file.sha256:
            raise Refused(f"blob {file.sha256} was altered here; run: unidet verify --repair")
        self._put(source, self.layout.blob(file.sha256), file.sha256, progress)

    def put_record(self, action: Action) -> None:
        """Write a record to the remote; call this after all its content is there.

        It is written anew, without passwords that older versions have recorded.
        """
        with NamedTemporaryFile() as file:
            with naming(file.name):
                write_all(file.fileno(), to_bytes(action))
            self._put(Path(file.name), self.layout.record(action.key), action.key)

    def _put(
        self, source: Path, path: Path, digest: str, progress: Progress = lambda _: None
    ) -> None:
        from fsspec.callbacks import Callback

        size = source.stat().st_size
        sent = Callback(hooks={"sent": lambda _, count, **__: progress(count)})
        temporary = self.layout.private(digest) if self._is_one_of(RENAMING) else path
        for folder in {path.parent, temporary.parent}:
            self._make_folder(folder)
        with self._clear_errors(at=temporary):
            try:
                self._system.put_file(str(source), str(temporary), callback=sent)
                arrived = self._system.info(str(temporary))["size"]
                if arrived != size:
                    text = f"{arrived} of {size} bytes arrived; look at its disk, and push again"
                    raise UserError(f"remote {self.url}: {text}")
                if self._is_local():
                    sync(temporary)
                if temporary != path:
                    self._rename(temporary, path)
            except BaseException:
                # An object appears whole or not at all, and may be another writer's.
                if not self._is_one_of(OBJECT_STORES):
                    with suppress(Exception):  # the file does not exist, or the server is gone
                        self._system.rm_file(str(temporary))
                raise
            if self._is_local():
                sync(path.parent)

    def _rename(self, temporary: Path, path: Path) -> None:
        """Move a file to its place at the remote, where it replaces a file or a link.

        Raises:
            Refused: a folder stands there. (Python's `shutil.move` would move the file into it.)
        """
        move = os.replace if self._is_local() else self._system.mv
        try:
            move(str(temporary), str(path))
        except OSError as error:
            if self._look(path)[0] != "directory":
                raise
            raise self._refused(path, "a folder, not a plain file") from error

    # --- the file system behind it -----------------------------------------------------------

    def _is_local(self) -> bool:
        return self._is_one_of(("file",))

    def _is_one_of(self, kinds: tuple[str, ...]) -> bool:
        protocol = self._system.protocol
        return any(
            name in kinds for name in ([protocol] if isinstance(protocol, str) else protocol)
        )

    def _make_folder(self, folder: Path) -> None:
        if folder not in self._plain:
            self._refuse_links(folder)
            with self._clear_errors(at=folder):
                if self._is_local():
                    make_folder(folder)
                elif not self._is_one_of(OBJECT_STORES):
                    self._make_folders(folder)
            self._plain.add(folder)

    def _make_folders(self, folder: Path) -> None:
        # Another writer may create some of the folders at the same time; then try again.
        for _ in range(len(folder.parts)):
            with suppress(OSError):
                return self._system.makedirs(str(folder), exist_ok=True)
        for place in (*reversed(folder.parents), folder):  # SFTP tells neither place nor reason
            if self._look(place)[0] != "nothing" and not self._system.isdir(str(place)):
                raise UserError(f"remote {self.url}: {place} is not a folder; choose another place")
        return self._system.makedirs(str(folder), exist_ok=True)

    def _list(self, folder: Path) -> Iterator[tuple[str, int | None]]:
        """What has a digest for its name in the folders below `folder`, and its size.

        The size of a folder, a link or a pipe is None.

        Raises:
            Refused: one of the folders is a link.
        """
        self._system.invalidate_cache()
        self._refuse_links(folder)
        for group in self._ls(folder):
            name = Path(group["name"])
            if group["type"] == "link" or group.get("islink"):
                raise self._refused(name, "a link")
            if group["type"] == "directory" and len(name.name) == 2:
                for item in self._ls(folder / name.name):
                    found = Path(item["name"]).name
                    is_plain = item["type"] == "file" and not item.get("islink")
                    if is_digest(found.removesuffix(".json")):
                        yield found, int(item["size"] or 0) if is_plain else None

    def _ls(self, folder: Path) -> list[dict[str, Any]]:
        with self._clear_errors(at=folder):
            try:
                return sorted(self._system.ls(str(folder), detail=True), key=lambda i: i["name"])
            except FileNotFoundError:
                return []

    def _size(self, path: Path) -> int | None:
        """Size of a plain file, None where there is none.

        Raises:
            Refused: it is a link, is below one, or is not a file.
        """
        if path.parent not in self._plain:
            self._refuse_links(path.parent)
            self._plain.add(path.parent)
        kind, size = self._look(path)
        if kind not in ("file", "nothing"):
            shown = "pipe, a socket or a device" if kind == "other" else kind
            raise self._refused(path, f"a {shown}, not a plain file")
        return size if kind == "file" else None

    def _refuse_links(self, folder: Path) -> None:
        """Refuse a folder of the store that is a link; folders above the store may be links."""
        parts = folder.relative_to(self.layout.root).parts
        for count in range(1, len(parts) + 1):
            path = self.layout.root.joinpath(*parts[:count])
            if self._look(path)[0] == "link":
                raise self._refused(path, "a link")

    def _look(self, path: Path) -> tuple[str, int]:
        """Kind of a path (file, directory, link, other, nothing) and its size; follows no links."""
        server = getattr(self._system, "ftp", None)
        with self._clear_errors(path):
            try:
                if server is None and not self._is_local():
                    found = self._system.info(str(path))
                    return found["type"], int(found["size"] or 0)
                state = os.lstat(path) if server is None else server.lstat(str(path))
            except FileNotFoundError:
                return "nothing", 0
            mode = state.st_mode  # SFTP leaves it to the server what it tells
            if mode is None or (state.st_size is None and stat.S_ISREG(mode)):
                raise UserError(f"remote {self.url}: the server does not say what {path} is")
        for kind, test in (("file", stat.S_ISREG), ("directory", stat.S_ISDIR)):
            if test(mode):
                return kind, int(state.st_size or 0)
        return ("link" if stat.S_ISLNK(mode) else "other"), 0

    def _wrong_size(self, path: Path, found: int, file: StoredFile) -> Refused:
        return self._refused(path, f"it has {found} bytes; a record says {file.size}")

    def _refused(self, path: Path, why: str) -> Refused:
        base = self.layout.base
        shown = path.relative_to(base) if base in path.parents else path
        return Refused(f"remote {self.url}: refused {shown}: {why}")

    @contextmanager
    def _clear_errors(self, read: Path | None = None, at: Path | None = None) -> Iterator[None]:
        """Turn any error of a network or file system into a UserError of one line.

        Args:
            at: what is listed or written; SFTP does not say where somebody may not.

        Raises:
            Refused: only this path, which is to be `read`, cannot be.
        """
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            if read is not None and is_of_one_file(error):
                raise self._refused(read, f"cannot be read ({refusal(error)})") from error
            if isinstance(error, PermissionError) and not error.filename and at is not None:
                error.filename = str(at)
            raise UserError(f"remote {self.url}: {words(error)}") from error
