"""The store: results under keys, each complete or absent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from unidet.errors import UserError
from unidet.store import handed_out, lock, provenance, runs
from unidet.store.action_index import newest_first
from unidet.store.disk import (
    clear_errors,
    create_once,
    discard,
    make_folder,
    read_plain,
    replace,
    set_aside,
)
from unidet.store.hashing import key_of, normalise
from unidet.store.ingest import has_blob, ingested, place_all, place_missing, rescue
from unidet.store.live import discard_abandoned
from unidet.store.paths import Layout
from unidet.store.places import remove_odd, require_links
from unidet.store.record import (
    Action,
    LaterFormat,
    digest_files,
    from_bytes,
    is_duration,
    to_bytes,
)
from unidet.store.runs import How, Run
from unidet.store.stat_cache import StatCache
from unidet.store.view import materialise


class LaterRecord(UserError):
    """A later version of the program has written the record; it is neither read nor replaced."""


class Store:
    """Artefacts under `root`, each with one record; paths.py shows the layout.

    Methods that write raise UserError where the store is read-only, not permitted or full.
    """

    def __init__(self, root: Path) -> None:
        self.layout = Layout(Path(root))

    @property
    def root(self) -> Path:
        return self.layout.root

    @property
    def code_cache(self) -> Path:
        """File for the cache of `code.Sources`."""
        return self.layout.stat_cache / "code"

    def digest_of(self, path: Path | str) -> str:
        """Digest of the content of a file or folder outside the store.

        Raises:
            UserError: it is missing or cannot be read.
        """
        return StatCache(self.layout.stat_cache).digest_of(path)

    def digests_in(self, folder: Path | str) -> dict[str, str]:
        """Relative path -> sha256 of every file below a folder.

        Raises:
            UserError: it is missing or cannot be read.
        """
        return StatCache(self.layout.stat_cache).digests_in(folder)

    # --- looking up --------------------------------------------------------------------------

    def lookup(self, key: str) -> Action | None:
        """The action of a key if all its blobs exist, else None; raises as `record`."""
        action = self.record(key)
        return action if action is not None and self.is_complete(action) else None

    def record(self, key: str) -> Action | None:
        """The action of a key, whether its blobs exist or not.

        Raises:
            LaterRecord: this version cannot read it.
        """
        return self.read(self.layout.record(key))

    def is_complete(self, action: Action) -> bool:
        """Whether all blobs exist with the right size; their content is not read.

        Blobs that a clean-up has just moved to the trash are restored.
        """
        return all(
            has_blob(self.layout.blob(file.sha256), file.size) or rescue(file, self.layout)
            for file in action.files.values()
        )

    def actions(self, stage: str | None = None) -> Iterator[Action]:
        """Actions with a readable record, complete or not, newest first."""
        cache = self.layout.stat_cache / "actions"
        for path in newest_first(self.layout.actions, cache, self.readable, stage):
            action = self.readable(path)
            if action is not None:
                yield action

    def runs(self, stage: str | None = None) -> Iterator[Run]:
        """Requests of commands, newest first."""
        return runs.read(self.layout.runs, stage)

    def folder(self, action: Action) -> Path:
        """A folder with the artefact's files, read-only; it is rebuilt where it is damaged.

        Raises:
            UserError: a blob is missing, or a user has added a file to the folder.
        """
        if not self.is_complete(action):
            raise UserError(
                f"{action.stage}: content of this artefact is missing from store {self.root}; "
                f"run stage={action.stage} of this study"
            )
        handed_out.note(self.layout, action)
        with clear_errors(self.root):
            return materialise(action, self.layout)

    def intact_folder(self, action: Action) -> Path:
        """As `folder`, for results to be made from it: its content is what was stored.

        A file is read for that once, and again if its size, times or inode differ.

        Raises:
            UserError: also if the disk has altered a file.
        """
        folder = self.folder(action)
        found = self.digests_in(folder)
        for name, file in action.files.items():
            if found.get(name) != file.sha256:
                raise UserError(handed_out.is_altered(self.layout, action, name))
        return folder

    # --- working -----------------------------------------------------------------------------

    @contextmanager
    def locked(
        self,
        key: str,
        waiting: Callable[[lock.Owner | None], None] | None = None,
        check: Callable[[], None] | None = None,
    ) -> Iterator[None]:
        """Hold the advisory lock of a key.

        Args:
            waiting: called with the owner that this process waits for, once per owner.
            check: called between attempts; stops the waiting by raising.
        """
        path = self.layout.lock(key)
        with clear_errors(self.root):
            make_folder(path.parent)
            held = lock.acquire(path, waiting, check)
        try:
            yield
        finally:
            lock.release(held)

    def owner(self, key: str) -> lock.Owner | None:
        """The current owner of the lock of a key, None if it is free."""
        with clear_errors(self.root):
            return lock.holder(self.layout.lock(key))

    def work(self, key: str) -> Path:
        """The folder of an unfinished run. It survives failures and is removed on publication.

        Links, pipes and devices in it are removed: no run has made them, and what is written there
        would go elsewhere or wait without end.

        Raises:
            UserError: it is a link.
        """
        path = self.layout.work(key)
        if path.is_symlink():
            raise UserError(f"{path} is a link, where the store needs a folder; remove the link")
        with clear_errors(self.root):
            make_folder(path)
            remove_odd(path)
        return path

    def has_work(self, key: str) -> bool:
        """Whether an earlier run of this key left files to resume from."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return bool(os.listdir(self.layout.work(key)))
        return False

    def draft(self, key: str) -> Path:
        """A new, empty folder for the files of an artefact; call it while holding the key's lock.

        Drafts of dead processes for this key are removed.

        Raises:
            UserError: the store cannot be written, or its files cannot be linked to where they go.
        """
        path = self.layout.private(key)
        with clear_errors(self.root):
            discard_abandoned(self.layout, key)
            require_links(self.layout, key, (self.layout.blobs, self.layout.artefacts))
            make_folder(path)
        return path

    def log_run(self, stage: str, key: str, how: How, name: str = "") -> None:
        """Log that a command requested this action; does nothing in a read-only store."""
        with clear_errors(self.root):
            runs.append(self.layout.runs, stage, key, how, name)

    # --- publishing --------------------------------------------------------------------------

    def publish(
        self,
        key: str,
        preimage: Mapping[str, Any],
        stage: str,
        out: Path,
        *,
        name: str = "",
        started: float,
        seconds: float | None = None,
        inputs: Mapping[str, Action] | None = None,
        modules: Mapping[str, str] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> Action:
        """Make the files below `out` the artefact of `key`; this removes `out` and work(key).

        The record is created last and is the only commit point. If the key already has a complete
        action, that one is kept and returned; if its output differs, the difference is recorded.

        Args:
            name: the dataset or vocabulary that the artefact is made for; not part of the key.
            started: seconds since the epoch.
            seconds: compute time of all attempts; by default the time since `started`. What is no
                duration, as after the clock was set back, counts as 0.
            inputs: the upstream actions that were read, by name.
            modules: digest of each source module of `preimage["code"]`.
            sources: paths of the files of `preimage["files"]`.

        Raises:
            LaterRecord: a later version of the program has published under this key meanwhile.
            UserError: the store cannot be written.
            ValueError: `key` is not the key of `preimage`, `out` contains more than plain files, or
                the record could not be read again.
        """
        if key_of(preimage) != key:
            raise ValueError(f"{key} is not the key of this preimage")
        finished = time.time()
        seconds = finished - started if seconds is None else seconds
        with clear_errors(self.root):
            with ingested(Path(out), self.layout, key) as files:
                action = Action(
                    key=key,
                    preimage=normalise(preimage),
                    stage=stage,
                    name=name,
                    files=files,
                    output=digest_files(files),
                    inputs={name: one.key for name, one in (inputs or {}).items()},
                    modules=dict(modules or {}),
                    started=provenance.utc(started),
                    finished=provenance.utc(finished),
                    seconds=seconds if is_duration(seconds) else 0.0,
                    sources=dict(sources or {}),
                    **provenance.of_this_process(),
                )
                from_bytes(to_bytes(action))  # else the artefact would count as damaged, for ever
                action = self._commit(action)
            discard(Path(out), self.layout.trash)
            discard(self.layout.work(key), self.layout.trash)
        return action

    def adopt(self, action: Action, files: Mapping[str, Path]) -> Action:
        """Publish an artefact from another store; an existing action of its key is kept.

        Args:
            action: its record, checked by the caller.
            files: sha256 -> a file with that content in a private folder below work/, for each
                blob; a hard link where the blob exists here already.

        Raises:
            UserError: the store cannot be written.
        """
        sources = {files[one.sha256]: one for one in action.files.values()}
        with clear_errors(self.root):
            place_all(sources, self.layout)
            standing = self._commit(action)
            place_missing(sources, self.layout)
        return standing

    def _commit(self, action: Action) -> Action:
        """Create the record, or return the existing one."""
        path = self.layout.record(action.key)
        if create_once(path, to_bytes(action), self.layout.private(action.key)):
            return action
        standing = self.read(path)
        if standing is not None and standing.output == action.output:
            # If blobs of it were missing, this result has just restored them.
            return standing
        if standing is not None and self.is_complete(standing):
            self._note_difference(action)
        else:
            # The existing record cannot be used any more: it is damaged, or content is missing.
            if standing is not None:
                self._note_difference(standing)
            if path.is_dir():
                set_aside(path, self.layout.trash)
            replace(path, to_bytes(action), self.layout.private(action.key))
        return self.readable(path) or action

    def _note_difference(self, loser: Action) -> None:
        path = self.layout.differing(loser.key) / f"{loser.output}.json"
        create_once(path, to_bytes(loser), self.layout.private(loser.key))

    def readable(self, path: Path) -> Action | None:
        """The record at `path`; None if it is missing, damaged or of a later version."""
        with suppress(LaterRecord):
            return self.read(path)
        return None

    def read(self, path: Path) -> Action | None:
        """The record at `path`; None if it is missing or damaged, so that its stage runs again.

        Raises:
            LaterRecord: this version cannot read it.
        """
        with clear_errors(self.root):
            try:
                action = from_bytes(read_plain(path))
            except LaterFormat as error:
                raise LaterRecord(f"store {self.root}: {path.name[:12]}… is {error}") from error
            except (FileNotFoundError, ValueError):
                return None
        if action.key != path.stem:
            return None
        differing = path.with_suffix(".differs")
        if not differing.is_dir():
            return action
        return action.with_nondeterminism(tuple(sorted(one.stem for one in differing.iterdir())))
