"""Eight processes and a clean-up at one store: `python stress.py WHAT FOLDER`; test_stress.py says.

Not a test itself. A child that finds anything wrong ends with status 1, and so does this.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from unidet.store import provenance
from unidet.store.gc import cleaning, drop, sweep
from unidet.store.gc_plan import plan
from unidet.store.live import in_use
from unidet.store.lock import Owner
from unidet.store.record import Action
from unidet.store.store import Store, key_of
from unidet.store.verify import verify

CROWD = 8
ROUNDS = 20
KINDS = 7
SHARED = b"what all artefacts hold" * 500


def bring(store: Store, stage: str, seed: int, compute: Callable[[], None]) -> Action:
    """As a run does: mark, look, lock, look again, compute, publish."""
    preimage = {"stage": stage, "config": {"seed": seed}}
    key = key_of(preimage)
    with in_use(store.layout) as use:
        use(key)
        action = store.lookup(key)
        if action is None:
            with store.locked(key):
                action = store.lookup(key)
                if action is None:
                    compute()
                    out = store.draft(key)
                    (out / "shared").write_bytes(SHARED)
                    (out / "own").write_text(f"{stage} {seed}")
                    action = store.publish(key, preimage, stage, out, started=time.time())
        for _ in range(3):
            assert is_there(store, key), "lost while in use"
            folder = store.folder(action)
            assert (folder / "shared").read_bytes() == SHARED
            assert (folder / "own").read_text() == f"{stage} {seed}"
    return action


def is_there(store: Store, key: str) -> bool:
    """A clean-up that began to drop it before it was marked holds its lock until it is back."""
    if store.lookup(key) is not None:
        return True
    with store.locked(key):
        return store.lookup(key) is not None


def note(path: Path, seconds: float = 0.0) -> Callable[[], None]:
    """A computation that leaves a line."""

    def compute() -> None:
        with open(path, "a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(seconds)

    return compute


def fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(children: list[int]) -> None:
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)


def clean_for_ever(store: Store) -> None:
    """Drops whatever it may, at once, again and again."""
    while True:
        with cleaning(store):
            drop(store, [one.action for one in plan(store, keep_last=0).drops])
            sweep(store, 0.0, 0.0)


def with_clean_up(store: Store, work: Callable[[], None]) -> None:
    cleaner = fork(lambda: clean_for_ever(store))
    try:
        work()
        assert os.waitpid(cleaner, os.WNOHANG) == (0, 0), "the clean-up failed"
    finally:
        os.kill(cleaner, signal.SIGKILL)
        os.waitpid(cleaner, 0)


# --- what is tried -----------------------------------------------------------------------------


def same(store: Store) -> None:
    """All ask for one stage, which nobody has; a clean-up is at work beside."""

    def crowd() -> None:
        with in_use(store.layout) as use:
            use(key_of({"stage": "rpn", "config": {"seed": 0}}))
            work = note(store.root.parent / "computed", 0.2)
            wait([fork(lambda: bring(store, "rpn", 0, work) and None) for _ in range(CROWD)])

    with_clean_up(store, crowd)


def different(store: Store) -> None:
    """Each asks for its own stage, and finishes computing only when all others compute too."""
    meeting = store.root.parent / "meeting"
    meeting.mkdir()

    def meet() -> None:
        (meeting / str(os.getpid())).touch()
        patience = time.monotonic() + 30
        while len(list(meeting.iterdir())) < CROWD:
            assert time.monotonic() < patience, "the others do not compute beside this one"
            time.sleep(0.01)

    wait([fork(lambda one=one: bring(store, "rpn", one, meet) and None) for one in range(CROWD)])


def churn(store: Store) -> None:
    """All ask for many stages in their own order while a clean-up drops what nobody uses.

    They go on until it has dropped something, for which a busy machine may leave it no time.
    """
    computed = store.root.parent / "computed"
    patience = time.monotonic() + 60

    def is_over(turn: int) -> bool:
        has_dropped = computed.is_file() and len(computed.read_text().splitlines()) > KINDS
        return turn >= ROUNDS and (has_dropped or time.monotonic() > patience)

    def work(number: int) -> None:
        turn = 0
        while not is_over(turn):
            bring(store, "rpn", (turn * (2 * number + 1)) % KINDS, note(computed))
            turn += 1

    with_clean_up(store, lambda: wait([fork(lambda one=one: work(one)) for one in range(CROWD)]))


def dead_owner(store: Store) -> None:
    """The first to compute is killed while all others wait for it; they know it by name."""
    key = key_of({"stage": "rpn", "config": {"seed": 0}})
    owner = fork(lambda: bring(store, "rpn", 0, lambda: time.sleep(600)) and None)
    while (signed := store.owner(key)) is None or signed.pid != owner:
        time.sleep(0.01)

    waiting = store.root.parent / "waiting"
    waiting.mkdir()

    def meet(known: Owner | None) -> None:
        if not (waiting / str(os.getpid())).exists():
            assert known is not None
            assert known.pid == owner, known
            (waiting / str(os.getpid())).touch()

    def waiter() -> None:
        with store.locked(key, waiting=meet):
            pass
        bring(store, "rpn", 0, note(store.root.parent / "computed", 0.2))

    waiters = [fork(waiter) for _ in range(CROWD)]
    while len(list(waiting.iterdir())) < CROWD:
        time.sleep(0.01)
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    wait(waiters)


def main(what: str, folder: Path) -> None:
    provenance.freeze()
    provenance.git_state()
    store = Store(folder / "outputs")
    {"same": same, "different": different, "churn": churn, "dead_owner": dead_owner}[what](store)
    problems = verify(store).problems
    assert problems == (), problems


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
