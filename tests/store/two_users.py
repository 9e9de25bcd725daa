"""What a user of a store does: `python two_users.py ROOT TASK USER GROUP`; says what it has seen.

Started by root, whose Python others may have no way to; what it loads is loaded before it becomes
the user.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from unidet.store.gc import cleaning, drop, sweep
from unidet.store.gc_plan import plan
from unidet.store.hashing import key_of
from unidet.store.live import in_use
from unidet.store.pins import pin
from unidet.store.record import Action
from unidet.store.store import Store
from unidet.store.verify import verify

PREIMAGES = [{"schema": 1, "stage": "rpn", "config": {"seed": seed}} for seed in range(3)]


def make(store: Store, seed: int) -> Action:
    preimage = PREIMAGES[seed]
    key = key_of(preimage)
    with store.locked(key):
        (store.work(key) / "begun").write_text("yes")
        out = store.draft(key)
        (out / "logs").mkdir()
        (out / "logs" / "log.csv").write_text("step,loss\n")
        (out / "model").write_text(f"weights {seed}")
        action = store.publish(key, preimage, "rpn", out, started=time.time(), seconds=1.0)
    store.log_run("rpn", key, "ran")
    store.folder(action)
    return action


def clean(store: Store, grace: float) -> None:
    with cleaning(store):
        drop(store, [one.action for one in plan(store, keep_last=0).drops])
        print(*sweep(store, grace, 0.0))


def become(user: int, group: int) -> None:
    with tempfile.TemporaryDirectory() as scratch, redirect_stdout(StringIO()):
        for task in ("make", "use and make", "begin", "resume", "clean", "empty"):
            act(Store(Path(scratch)), task)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    os.umask(0o002)


def act(store: Store, task: str) -> None:
    if task == "make":
        make(store, 0)
    elif task in ("look", "use and make"):
        with in_use(store.layout) as use:
            use(key_of(PREIMAGES[0]))
            action = store.lookup(key_of(PREIMAGES[0]))
            assert action is not None
            store.log_run("rpn", action.key, "cached")
            print((store.folder(action) / "model").read_text())
        if task == "use and make":
            pin(store.layout, action)
            make(store, 1)
    elif task == "begin":
        (store.work(key_of(PREIMAGES[2])) / "half").write_text("done by the first")
    elif task == "resume":
        work = store.work(key_of(PREIMAGES[2]))
        print((work / "half").read_text())
        (work / "half").write_text("done by the second")
        make(store, 2)
    elif task == "clean":
        clean(store, 3600.0)
    elif task == "empty":
        clean(store, -3600.0)
    print(len(list(store.actions())), len(list(store.runs())), len(verify(store).problems))


if __name__ == "__main__":
    become(*map(int, sys.argv[3:]))
    act(Store(Path(sys.argv[1])), sys.argv[2])
