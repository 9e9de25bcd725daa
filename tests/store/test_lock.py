"""Nobody computes what somebody is computing; a waiter knows whom it waits for; the dead let go."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unidet.store.gc import cleaning
from unidet.store.lock import Owner
from unidet.store.store import Store, key_of

KEY = key_of({"stage": "rpn"})

HOLDER = """
import sys, time
from pathlib import Path
from unidet.store.store import Store
with Store(Path(sys.argv[1])).locked(sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""

# Eight processes ask for the same artefact; each that computes it adds a line to a file.
CROWD = """
import contextlib, os, sys, time
from pathlib import Path
from unidet.store.store import Store, key_of

root, mode = Path(sys.argv[1]), sys.argv[2]
preimage = {"stage": "rpn"}
key = key_of(preimage)

def bring():
    store = Store(root / "outputs")
    if store.lookup(key) is None:
        with store.locked(key) if mode == "locked" else contextlib.nullcontext():
            if store.lookup(key) is None:
                with open(root / "computed", "a") as log:
                    log.write(f"{os.getpid()}\\n")
                time.sleep(0.2)
                out = store.draft(key)
                (out / "model").write_text("same" if mode == "locked" else str(os.getpid()))
                mine = store.publish(key, preimage, "rpn", out, started=time.time())
                assert mine.output == store.lookup(key).output
    action = store.lookup(key)
    (store.folder(action) / "model").read_text()

children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        try:
            bring()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)
"""


@contextmanager
def holder(store: Store) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", HOLDER, str(store.root), KEY]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lock_is_free_again_after_use(store: Store) -> None:
    for _ in range(2):
        with store.locked(KEY, waiting=lambda owner: pytest.fail("nobody holds it")):
            pass


def test_the_lock_of_a_killed_process_is_taken_over(store: Store) -> None:
    owners: list[Owner | None] = []

    def waiting(owner: Owner | None) -> None:
        owners.append(owner)
        os.kill(process.pid, signal.SIGKILL)

    with holder(store) as process, store.locked(KEY, waiting=waiting):
        pass
    (owner,) = owners
    assert owner is not None
    assert (owner.host, owner.pid) == (os.uname().nodename, process.pid)
    assert str(owner).startswith(f"process {process.pid} on {owner.host}, since 20")


def test_the_owner_is_known_while_there_is_one(store: Store) -> None:
    assert store.owner(KEY) is None
    with holder(store) as process:
        owner = store.owner(KEY)
        assert owner is not None
        assert owner.pid == process.pid
        process.kill()
        process.wait()
        assert store.owner(KEY) is None


def test_waiting_can_be_called_off(store: Store) -> None:
    def stop() -> None:
        raise InterruptedError("asked to stop")

    with (
        holder(store),
        pytest.raises(InterruptedError, match="asked to stop"),
        store.locked(KEY, check=stop),
    ):
        pytest.fail("the lock was held twice")


def test_a_waiter_is_told_once_for_each_owner(store: Store) -> None:
    calls: list[Owner | None] = []
    checks = iter([None, None, None])

    def check() -> None:
        if next(checks, "end") == "end":
            raise InterruptedError

    with holder(store), pytest.raises(InterruptedError), store.locked(KEY, calls.append, check):
        pass
    assert len(calls) == 1


def test_different_keys_do_not_wait_for_each_other(store: Store) -> None:
    with holder(store), store.locked(key_of({"stage": "roi"}), waiting=pytest.fail):
        pass


def test_threads_exclude_each_other_too(store: Store) -> None:
    inside = 0
    most = 0

    def enter() -> None:
        nonlocal inside, most
        with store.locked(KEY):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_lock_is_released_by_an_error(store: Store) -> None:
    with pytest.raises(RuntimeError), store.locked(KEY):
        raise RuntimeError
    with store.locked(KEY, waiting=lambda owner: pytest.fail("still held")):
        pass


def test_eight_processes_compute_once(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CROWD, str(tmp_path), "locked"]
    subprocess.run(arguments, check=True, timeout=60)
    assert len((tmp_path / "computed").read_text().splitlines()) == 1


def test_without_any_lock_the_first_writer_still_wins(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CROWD, str(tmp_path), "no lock"]
    subprocess.run(arguments, check=True, timeout=60)
    computed = set((tmp_path / "computed").read_text().split())
    store = Store(tmp_path / "outputs")
    (action,) = store.actions()
    winner = (store.folder(action) / "model").read_text()
    assert winner in computed
    assert len(action.nondeterminism) == len(computed) - 1


def test_a_full_disk_keeps_nobody_from_a_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean-up takes one too, and is to free the disk."""

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with cleaning(store):
        assert store.layout.gc_lock.exists()
    assert os.listdir(store.layout.gc_lock.parent) in ([], ["gc.lock"])
