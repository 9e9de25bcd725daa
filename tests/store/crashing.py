"""Runs a piece of store work again and again, killed before every one of its file-system steps.

Not a test itself: test_crash.py starts it as `python crashing.py SCENARIO FOLDER`. Children are
forked, count their file-system calls and send themselves SIGKILL before the n-th, n = 1, 2, …,
until one comes through. After every death the store is judged, and the work is done again.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unidet.store import provenance
from unidet.store.store import Store, key_of

STEPS = (
    *("mkdir", "rmdir", "rename", "replace", "link", "unlink"),
    *("open", "fsync", "chmod", "utime", "write"),
)
PREIMAGE = {"stage": "rpn", "config": {"seed": 0}}
KEY = key_of(PREIMAGE)
ONE = {"model": b"one" * 1000, "logs/log.csv": b"step\n", "twin": b"step\n"}
TWO = {"model": b"two" * 1000, "logs/log.csv": b"step\n"}


def publish(store: Store, files: Mapping[str, bytes]) -> None:
    out = store.draft(KEY)
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    store.publish(KEY, PREIMAGE, "rpn", out, started=time.time())


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# --- scenarios: what was there before, and what is done -------------------------------------------


def interrupted(store: Store) -> None:
    """Checkpoints of a run that stopped; nothing published."""
    (store.work(KEY) / "checkpoint").write_bytes(b"step 7")


def whole(store: Store) -> None:
    """Published and looked at."""
    publish(store, ONE)
    store.folder(found(store))


def lost_blob(store: Store) -> None:
    """Published, then part of the content was lost."""
    publish(store, ONE)
    store.layout.blob(hashlib.sha256(ONE["model"]).hexdigest()).unlink()


def damaged_view(store: Store) -> None:
    """Published and looked at; then somebody deleted half of the folder."""
    whole(store)
    folder = store.folder(found(store))
    (folder / "model").unlink()
    (folder / "twin").unlink()


def publish_one(store: Store) -> None:
    publish(store, ONE)
    store.folder(found(store))


def publish_two(store: Store) -> None:
    publish(store, TWO)
    store.folder(found(store))


def look(store: Store) -> None:
    store.folder(found(store))


Part = Callable[[Store], None]
SCENARIOS: dict[str, tuple[Part, Part]] = {
    "fresh": (interrupted, publish_one),
    "same_again": (whole, publish_one),
    "different_again": (whole, publish_two),
    "repair": (lost_blob, publish_one),
    "supersede": (lost_blob, publish_two),
    "view": (damaged_view, look),
}


# --- judging -------------------------------------------------------------------------------------


def found(store: Store) -> Any:
    action = store.lookup(KEY)
    assert action is not None, "the action is not there"
    return action


def judge(store: Store) -> None:
    """No blob, record or fresh folder is ever seen in part."""
    for blob in (store.layout.base / "blobs").rglob("?" * 64):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name, blob
    for record in store.layout.actions.rglob("*.json"):
        assert record.read_bytes().endswith(b"}\n"), record
    action = store.lookup(KEY)
    if action is not None:
        for name, file in action.files.items():
            blob = store.layout.blob(file.sha256)
            assert blob.read_bytes() in (ONE.get(name), TWO.get(name)), name


def judge_after_redo(store: Store) -> None:
    action = found(store)
    assert content(store.folder(action)) in (ONE, TWO)
    judge(store)
    assert not store.has_work(KEY)
    draft = store.draft(KEY)  # sweeps what the dead left
    assert list((store.layout.base / "work").iterdir()) == [draft]


# --- dying ---------------------------------------------------------------------------------------


def die_before(count: int) -> None:
    """SIGKILL this process before its `count`-th file-system step from now on."""
    lock = threading.Lock()
    seen = 0

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal seen
            with lock:
                seen += 1
                if seen == count:
                    os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **options)

        return run

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))


def child(root: Path, do: Part, count: int) -> int:
    """Wait status of a forked process that does the work and dies before step `count`."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    try:
        die_before(count)
        do(Store(root))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(scenario: str, folder: Path) -> None:
    before, do = SCENARIOS[scenario]
    provenance.freeze()
    provenance.git_state()
    deaths = 0
    while True:
        root = folder / str(deaths)
        before(Store(root))
        status = child(root, do, deaths + 1)
        judge(Store(root))
        if not os.WIFSIGNALED(status):
            assert status == 0, "the work failed without being killed"
            break
        deaths += 1
        assert child(root, do, -1) == 0, f"doing it again failed after death {deaths}"
        judge_after_redo(Store(root))
    print(deaths)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
