"""Runs a piece of store work again and again, killed before every one of its file-system steps.

Not a test itself: test_crash.py starts it as `python crashing.py SCENARIO FOLDER MODE`. Children
are forked and die by SIGKILL. In the mode `steps` they count their file-system calls and do it
before the n-th, n = 1, 2, …, until one comes through; in the mode `random` they are killed from
outside at a random moment, again and again; in the mode `middle` the system kills them in the
middle of writing a file, because it is longer than they may write. After every death the store is
checked, and the work is done again.
"""

from __future__ import annotations

import builtins
import hashlib
import io
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from unidet.store import provenance
from unidet.store.gc import cleaning, drop, sweep
from unidet.store.gc_plan import plan
from unidet.store.live import in_use
from unidet.store.pins import pin
from unidet.store.remote import Remote
from unidet.store.store import Store, key_of
from unidet.store.transfer import fetch, push
from unidet.store.verify import verify

STEPS = (
    *("mkdir", "rmdir", "rename", "replace", "link", "unlink"),
    *("open", "fsync", "chmod", "utime", "write"),
)
RANDOM_DEATHS = 15
ATTEMPTS = 60
LIMITS = (1, 30, 1000, 2000, 2999, 5000, 1 << 20, 10 << 20)  # bytes of a file
PREIMAGE = {"stage": "rpn", "config": {"seed": 0}}
KEY = key_of(PREIMAGE)
ONE = {"model": b"one" * 1000, "logs/log.csv": b"step\n", "twin": b"step\n"}
TWO = {"model": b"two" * 1000, "logs/log.csv": b"step\n"}
PINNED = {"stage": "data", "config": {"seed": 1}}
KEPT = {"index": b"kept" * 1000, "log.csv": b"step\n"}


def publish(
    store: Store, files: Mapping[str, bytes], preimage: Mapping[str, Any] = PREIMAGE
) -> None:
    key = key_of(preimage)
    out = store.draft(key)
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    store.publish(key, preimage, preimage["stage"], out, started=time.time())


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


def cluttered(store: Store) -> None:
    """One artefact to drop and one that is pinned; they share a file. And things of the dead."""
    whole(store)
    publish(store, KEPT, PINNED)
    kept = store.lookup(key_of(PINNED))
    assert kept is not None
    pin(store.layout, kept)
    store.folder(kept)
    dead = child(store.root, lambda store: None)
    status_of(dead)
    with mock.patch("os.getpid", return_value=dead):
        (store.draft(KEY) / "half").write_bytes(b"of a file")


def clean(store: Store) -> None:
    with cleaning(store):
        drop(store, [one.action for one in plan(store, keep_last=0).drops])
        sweep(store, 0.0, 0.0)


def remote_of(store: Store) -> Remote:
    return Remote(str(store.root.parent / f"{store.root.name}.remote"))


def send(store: Store) -> None:
    push(store, remote_of(store), store.actions())


def sent(store: Store) -> None:
    """Everything is at the remote and nothing here."""
    whole(store)
    send(store)
    (store.root / "store").rename(store.root / "gone")
    (store.root / "artefacts").rename(store.root / "gone too")


def receive(store: Store) -> None:
    with in_use(store.layout) as use:
        fetch(store, remote_of(store), KEY, use)
    store.folder(found(store))


def checkpoint(step: int, megabytes: float = 0.1) -> Callable[[Store], None]:
    """Saves a training state by the library's own function; Jittor itself is not needed for it."""

    def save(store: Store) -> None:
        sys.modules.setdefault("jittor", mock.MagicMock())
        from unidet.training.checkpoint import save_checkpoint

        array = np.full(int(megabytes * 250_000), step, np.float32)
        model, optimizer = mock.MagicMock(), mock.MagicMock()
        model.state_dict.return_value = {"weight": mock.MagicMock(numpy=lambda: array)}
        optimizer.state.return_value = {"momentum": array}
        save_checkpoint(store.work(KEY), step, model, optimizer, None, b"")

    return save


# --- checking ------------------------------------------------------------------------------------


def found(store: Store) -> Any:
    action = store.lookup(KEY)
    assert action is not None, "the action is not there"
    return action


def check(store: Store) -> None:
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


def check_whole(store: Store) -> None:
    """As `check`, where nothing was wrong before: all that is seen is whole."""
    check(store)
    problems = verify(store).problems
    assert problems == (), problems


def check_kept(store: Store) -> None:
    """What is pinned is there at every moment."""
    check_whole(store)
    kept = store.lookup(key_of(PINNED))
    assert kept is not None
    assert content(store.layout.artefact(kept.stage, kept.output)) == KEPT


def check_remote(store: Store) -> None:
    check_whole(store)
    check_whole(Store(remote_of(store).layout.root))


def check_checkpoint(store: Store) -> None:
    """The old state or the new one: both files that are there are whole, and one is there."""
    from safetensors.numpy import load_file

    files = [store.work(KEY) / f"{name}.safetensors" for name in ("checkpoint", "previous")]
    found = [load_file(file) for file in files if file.exists()]
    assert found
    for arrays in found:
        step = int(arrays["step"][0])
        assert step in (7, 8)
        assert (arrays["model/weight"] == step).all()
        assert (arrays["optimizer/momentum"] == step).all()


def nothing_left(store: Store) -> None:
    """Drafts of the dead go when the key is next used."""
    draft = store.draft(KEY)
    assert list((store.layout.base / "work").iterdir()) == [draft]


def published(store: Store) -> None:
    action = found(store)
    assert content(store.folder(action)) in (ONE, TWO)
    check_whole(store)
    assert not store.has_work(KEY)
    nothing_left(store)


def cleaned(store: Store) -> None:
    assert store.lookup(KEY) is None
    check_kept(store)
    blobs = {path.read_bytes() for path in store.layout.blobs.glob("??/*")}
    assert blobs == set(KEPT.values())
    assert [path.name.split("-")[0] for path in store.layout.artefacts.iterdir()] == ["data"]
    assert list((store.layout.base / "work").iterdir()) == []
    assert list(store.layout.trash.glob("*/*")) == []


def arrived(store: Store) -> None:
    """Another store that takes everything from there is whole."""
    other = Store(store.root.parent / f"{store.root.name}.other")
    with in_use(other.layout) as use:
        action = fetch(other, remote_of(store), KEY, use)
    assert action is not None
    assert content(other.folder(action)) == ONE
    check_remote(store)
    left = remote_of(store).layout.base / "work"
    mine = [path for path in left.iterdir() if f"-{os.getpid()}-" in path.name]
    assert mine == []


def resumed(store: Store) -> None:
    check_checkpoint(store)


Part = Callable[[Store], None]


@dataclass(frozen=True)
class Scenario:
    """What was there before, what is done, what holds after a death and after doing it again."""

    before: Part
    do: Part
    after_death: Part
    after_redo: Part


SCENARIOS = {
    "fresh": Scenario(interrupted, publish_one, check_whole, published),
    "same_again": Scenario(whole, publish_one, check_whole, published),
    "different_again": Scenario(whole, publish_two, check_whole, published),
    "repair": Scenario(lost_blob, publish_one, check, published),
    "supersede": Scenario(lost_blob, publish_two, check, published),
    "view": Scenario(damaged_view, look, check_whole, published),
    "checkpoint": Scenario(checkpoint(7), checkpoint(8), check_checkpoint, resumed),
    "big_checkpoint": Scenario(checkpoint(7, 8), checkpoint(8, 8), check_checkpoint, resumed),
    "gc": Scenario(cluttered, clean, check_kept, cleaned),
    "push": Scenario(whole, send, check_remote, arrived),
    "fetch": Scenario(sent, receive, check_remote, published),
}


# --- dying ---------------------------------------------------------------------------------------


def die_before(count: int) -> None:
    """SIGKILL this process before its `count`-th file-system step from now on."""
    lock = threading.Lock()
    seen = 0

    def tick() -> None:
        nonlocal seen
        with lock:
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            tick()
            return step(*arguments, **options)

        return run

    def counted_twice(step: Callable[..., Any]) -> Callable[..., Any]:
        """Once more when the file is there and still empty."""

        def run(*arguments: Any, **options: Any) -> Any:
            tick()
            stream = step(*arguments, **options)
            tick()
            return stream

        return run

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    builtins.open = io.open = counted_twice(builtins.open)  # type: ignore[assignment]


def child(root: Path, do: Part, prepare: Callable[[], None] | None = None) -> int:
    """Process id of a forked process that does the work."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if prepare is not None:
            prepare()
        do(Store(root))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def status_of(pid: int) -> int:
    return os.waitpid(pid, 0)[1]


def try_once(root: Path, scenario: Scenario, kill: Callable[[Path], int]) -> bool:
    """One death and what follows; whether there was a death."""
    root.parent.mkdir(parents=True, exist_ok=True)
    scenario.before(Store(root))
    status = kill(root)
    scenario.after_death(Store(root))
    if not os.WIFSIGNALED(status):
        assert status == 0, "the work failed without being killed"
        return False
    assert status_of(child(root, scenario.do)) == 0, f"doing it again failed in {root}"
    scenario.after_redo(Store(root))
    return True


def at_every_step(scenario: Scenario, folder: Path) -> int:
    deaths = 0

    def kill(root: Path) -> int:
        return status_of(child(root, scenario.do, lambda: die_before(deaths + 1)))

    while try_once(folder / str(deaths) / "outputs", scenario, kill):
        deaths += 1
    return deaths


def at_random(scenario: Scenario, folder: Path) -> int:
    """Moments are drawn from the least time that the work has taken undisturbed."""
    draw = random.Random(0)
    takes = 1.0

    def kill(root: Path) -> int:
        nonlocal takes
        started, moment = time.monotonic(), draw.uniform(0.0, takes)
        pid = child(root, scenario.do)
        while (waited := time.monotonic() - started) < moment:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                takes = min(takes, waited)
                return status
            time.sleep(0.0005)
        os.kill(pid, signal.SIGKILL)
        return status_of(pid)

    deaths = 0
    for attempt in range(ATTEMPTS):
        deaths += try_once(folder / str(attempt) / "outputs", scenario, kill)
        if deaths == RANDOM_DEATHS:
            break
    return deaths


def in_the_middle(scenario: Scenario, folder: Path) -> int:
    """The system ends a process that writes beyond its limit, after the bytes before that."""

    def kill(root: Path) -> int:
        def limit_files() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return status_of(child(root, scenario.do, limit_files))

    deaths = 0
    for limit in LIMITS:
        deaths += try_once(folder / str(limit) / "outputs", scenario, kill)
    return deaths


def main(name: str, folder: Path, mode: str) -> None:
    provenance.freeze()
    provenance.git_state()
    remote_of(Store(folder / "warm"))  # so that no child has to import what it needs
    checkpoint(1)(Store(folder / "warm"))
    run = {"steps": at_every_step, "random": at_random, "middle": in_the_middle}[mode]
    print(run(SCENARIOS[name], folder))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
