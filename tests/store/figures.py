"""Measures what docs/store.md says of speed: `python tests/store/figures.py FOLDER`.

FOLDER is new and on the disk to be measured. Ratios are measured side by side, alternating.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from unidet.cli import compose
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.engine.graph import inputs_of, needed
from unidet.pipelines.engine.keys import preimage_of
from unidet.pipelines.engine.node import Node
from unidet.store.hashing import key_of
from unidet.store.record import Action, to_bytes
from unidet.store.store import Store

ACTIONS = 10_000
REPEATS = 5
BIG = (4, 64 << 20)  # files, bytes each: weights
SMALL = (200, 256 << 10)  # shards


def cpu() -> float:
    """Seconds of processor time so far, of this process and of its children."""
    return sum(os.times()[:4])


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def fill(folder: Path) -> list[str]:
    """A store with every stage of the toy study fresh, and 10,000 actions in all."""
    overrides = [f"store.root={folder}"]
    config = compose(overrides)
    store = open_store(config)
    done: dict[Node, Action] = {}
    for node in needed("report", config):
        preimage = preimage_of(node, config, store, done)
        out = store.draft(key_of(preimage))
        for file in ("value", "vocabulary.json"):
            (out / file).write_text(str(node))
        done[node] = store.publish(
            key_of(preimage),
            preimage,
            node.stage,
            out,
            name=node.name,
            started=time.time(),
            inputs={name: done[entry.node] for name, entry in inputs_of(node, config).items()},
            modules={f"unidet.models.module{number}": "0" * 64 for number in range(60)},
        )
    for number in range(ACTIONS - len(done)):
        like = list(done.values())[number % len(done)]
        other = {**like.preimage, "config": {**like.preimage["config"], "seed": number}}
        copy = dataclasses.replace(like, key=key_of(other), preimage=other)
        path = store.layout.record(copy.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_bytes(copy))
    return overrides


def ten_thousand(folder: Path) -> None:
    overrides = fill(folder)
    command = [sys.executable, "-c", "from unidet.cli import main; main()", "status", *overrides]

    def status() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def keys() -> None:
        config = compose(overrides)
        store = open_store(config)
        fresh: dict[Node, Action] = {}
        for node in needed("report", config):
            fresh[node] = store.lookup(key_of(preimage_of(node, config, store, fresh)))

    tell("status, first look", status, 1)
    time.sleep(3)  # so that the index is old enough to be trusted
    status()
    tell("status", status, REPEATS)
    tell("keys and look-up of all stages", keys, REPEATS)


def tell(name: str, run: Callable[[], object], repeats: int) -> None:
    before = cpu()
    times = [seconds(run) for _ in range(repeats)]
    used = (cpu() - before) / repeats
    print(f"{ACTIONS} actions, {name}: {statistics.median(times):.2f} s, {used:.2f} s of processor")


def throughput(folder: Path, files: int, size: int) -> None:
    """publish, which waits for the disk, against `cp` and `sha256sum`, which do not."""
    source = folder / "source"
    source.mkdir(parents=True)
    for number in range(files):
        (source / f"{number:04}").write_bytes(os.urandom(size))
    plain, synced, ours = [], [], []
    for turn in range(REPEATS):
        copy = folder / f"copy{turn}"
        os.sync()
        started = time.perf_counter()
        copy_and_hash(source, copy)
        plain.append(time.perf_counter() - started)
        subprocess.run(["sync", *copy.iterdir()], check=True)
        synced.append(time.perf_counter() - started)
        shutil.rmtree(copy)
        ours.append(publish_copy(source, folder / f"store{turn}"))
    print(f"publish {files} x {size >> 10} kB {rate(files * size, ours):.0f} MB/s")
    for name, times in (("cp + sha256sum", plain), ("the same + sync", synced)):
        ratio = statistics.median(other / own for other, own in zip(times, ours, strict=True))
        print(f"  {name} {rate(files * size, times):.0f} MB/s: publish has {ratio:.0%} of that")


def publish_copy(source: Path, root: Path) -> float:
    """Seconds that publishing takes, after a stage has written its files."""
    store = Store(root)
    preimage = {"stage": "rpn"}
    out = store.draft(key_of(preimage))
    for path in source.iterdir():
        shutil.copy(path, out)
    taken = seconds(lambda: store.publish(key_of(preimage), preimage, "rpn", out, started=0.0))
    shutil.rmtree(root)
    return taken


def rate(count: int, times: list[float]) -> float:
    return count / statistics.median(times) / 1e6


def copy_and_hash(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", source, target], check=True)
    subprocess.run(["sha256sum", *target.iterdir()], check=True, stdout=subprocess.DEVNULL)


def main(folder: Path) -> None:
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    ten_thousand(folder / "many")
    throughput(folder / "big", *BIG)
    throughput(folder / "small", *SMALL)
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
