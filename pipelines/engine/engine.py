"""Brings a target stage up to date: what is cached stays, what is missing or stale runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from unidet.config.fields import identity
from unidet.config.study import Config
from unidet.console.interrupt import check
from unidet.console.terminal import duration, say, size
from unidet.errors import UserError
from unidet.pipelines.engine.graph import needed
from unidet.pipelines.engine.mpi import run_together
from unidet.pipelines.engine.processes import fill_shards
from unidet.pipelines.engine.remotes import from_remote
from unidet.pipelines.engine.stage import Job, Stage, Subtrees
from unidet.store import accepted
from unidet.store.code import closure
from unidet.store.hashing import digest, key_of
from unidet.store.live import Use, in_use
from unidet.store.lock import Owner
from unidet.store.record import Action
from unidet.store.remote import Remote
from unidet.store.runs import How
from unidet.store.store import Store

SECONDS_FILE = ".seconds"
KEYED_PACKAGES = ("jittor", "numpy", "pillow", "pycocotools", "onednn-cpu-gomp")
# What these do is in the key already (configuration values), or changes no result.
UNKEYED_MODULES = (
    "unidet.config",
    "unidet.errors",
    "unidet.console.interrupt",
    "unidet.backend.build",
    "unidet.pipelines.engine.stage",
    "unidet.backend.process_state",
    "unidet.report.plots",
    "unidet.backend.runtime",
    "unidet.console.terminal",
    "unidet.backend.toolchain",
    "unidet.config.validate",
)


@dataclass(frozen=True)
class Done:
    """A stage brought up to date, and how: `cached`, `fetched`, `ran` or `resumed`."""

    stage: Stage
    how: How
    seconds: float
    action: Action
    folder: Path


def open_store(config: Config) -> Store:
    return Store(Path(config.store.root))


def preimage_of(
    stage: Stage, config: Config, store: Store, inputs: dict[str, Action]
) -> dict[str, Any]:
    """Everything the stage's result depends on, as plain data; its hash is the stage's key."""
    return {
        "schema": 1,
        "stage": stage.name,
        "stage_version": stage.version,
        "config": {name: identity(getattr(config, name)) for name in sorted(stage.reads)},
        "inputs": {name: action.output for name, action in sorted(inputs.items())},
        "files": {name: store.digest_of(path) for name, path in stage.files(config).items()},
        "code": digest(modules_of(stage, config, store)),
        "env": {name: _version(name) for name in KEYED_PACKAGES},
    }


def modules_of(stage: Stage, config: Config, store: Store) -> dict[str, str]:
    """Digest of every module that the stage's code can reach under a configuration."""
    modules: dict[str, str] = {}
    for root in (stage.run.__module__, *stage.code(config)):
        modules |= closure(root, exclude=UNKEYED_MODULES, cache=store.code_cache)
    return dict(sorted(modules.items()))


def find(preimage: dict[str, Any], store: Store) -> Action | None:
    """The complete action that answers `preimage`, also one of code accepted as equivalent."""
    found = (store.lookup(key) for key in accepted.keys(store.layout, preimage))
    return next((action for action in found if action is not None), None)


def bring_up_to_date(config: Config) -> dict[str, Done]:
    """Run the target stage and whatever upstream of it is missing or stale.

    Raises:
        UserError: bad input, or something upstream missing under `upstream=require`.
        Interrupted: asked to stop; the same call resumes.
    """
    store = open_store(config)
    stages = needed(config.stage, config)
    for stage in stages:
        # Read now, for an edit made while an early stage trains is not the code that runs later.
        modules_of(stage, config, store)
    done: dict[str, Done] = {}
    with in_use(store.layout) as use, _compiling_ahead(stages, config, store):
        for stage in stages:
            inputs = {name: done[name].action for name in stage.inputs(config)}
            done[stage.name] = result = _bring(stage, config, store, inputs, use)
            say(_line(result))
    target = done[config.stage]
    text = target.stage.summary(target.folder)
    if text:
        print(text)
    print(target.folder)
    return done


@contextmanager
def _compiling_ahead(stages: list[Stage], config: Config, store: Store) -> Iterator[None]:
    """While a first stage runs that needs no Jittor, it is compiled for a later one that does.

    With a remote perhaps none of them runs.
    """
    first, *later = stages
    waits = not first.tensors and any(stage.tensors for stage in later) and not config.remote
    if not waits or find(preimage_of(first, config, store, {}), store) is not None:
        yield
        return
    from unidet.backend.runtime import compiling_ahead

    with compiling_ahead(config.runtime.device):
        yield


def _bring(stage: Stage, config: Config, store: Store, inputs: dict[str, Action], use: Use) -> Done:
    started = time.monotonic()
    preimage = preimage_of(stage, config, store, inputs)
    key = key_of(preimage)
    use(*accepted.keys(store.layout, preimage))
    action = find(preimage, store)
    how: How = "cached"
    if action is None:
        with store.locked(key, waiting=_waiting(stage), check=check):
            action, how = _obtain(stage, config, store, preimage, inputs, use)
    store.log_run(stage.name, action.key, how)
    return Done(stage, how, time.monotonic() - started, action, store.folder(action))


def _obtain(
    stage: Stage,
    config: Config,
    store: Store,
    preimage: dict[str, Any],
    inputs: dict[str, Action],
    use: Use,
) -> tuple[Action, How]:
    """What somebody has built meanwhile, here or at the remote; otherwise the stage runs."""
    action = find(preimage, store)
    if action is not None:
        return action, "cached"
    if config.remote:
        action = from_remote(Remote(config.remote), preimage, store, use)
        if action is not None:
            return action, "fetched"
    if config.upstream == "require" and stage.name != config.stage:
        raise UserError(
            f"{stage.name} is not built and upstream=require forbids to run it; "
            f"run: unidet stage={stage.name}"
        )
    key = key_of(preimage)
    how: How = "resumed" if store.has_work(key) else "ran"
    return _execute(stage, config, store, key, preimage, inputs), how


def _waiting(stage: Stage) -> Callable[[Owner | None], None]:
    return lambda owner: say(f"  {stage.name}: waits for {owner or 'another process'}")


def _execute(
    stage: Stage,
    config: Config,
    store: Store,
    key: str,
    preimage: dict[str, Any],
    inputs: dict[str, Action],
) -> Action:
    job = Job(
        config=Subtrees(config, stage.name, stage.reads),
        inputs={name: store.folder(action) for name, action in inputs.items()},
        work=store.work(key),
        out=store.draft(key),
        bring_up=lambda: _bring_up_for(stage, config),
    )
    started, earlier = time.time(), _earlier_seconds(job.work)
    try:
        if stage.sharding is not None:
            fill_shards(stage.name, stage.sharding, config, job)
        if config.train.processes > 1 and stage.data_parallel(config):
            run_together(stage.name, config, job)
        else:
            stage.run(job)
    except BaseException:
        if store.has_work(key):
            _remember_seconds(job.work, earlier + time.time() - started)
        raise
    return store.publish(
        key,
        preimage,
        stage.name,
        job.out,
        started=started,
        seconds=earlier + time.time() - started,
        inputs=inputs,
        modules=modules_of(stage, config, store),
        sources={name: str(path) for name, path in stage.files(config).items()},
    )


def _earlier_seconds(work: Path) -> float:
    """Compute time of the attempts that left their work here; a killed process adds none."""
    try:
        return float((work / SECONDS_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return 0.0


def _remember_seconds(work: Path, seconds: float) -> None:
    # The stage is failing already: a full disk must not hide the reason.
    with suppress(OSError):
        (work / SECONDS_FILE).write_text(f"{seconds:.3f}")


def _bring_up_for(stage: Stage, config: Config) -> None:
    if not stage.tensors:
        raise RuntimeError(f"stage {stage.name} brings Jittor up and says that it does not")
    bring_up_jittor(config)


def bring_up_jittor(config: Config, *, mpi: bool = False) -> None:
    """Import Jittor as the configuration's `runtime` says; stages that need no tensors never do."""
    from unidet.backend.runtime import bring_up

    bring_up(config.runtime.device, config.runtime.threads, config.runtime.verbose, mpi=mpi)


def _line(result: Done) -> str:
    """`roi                ran       1 min 40 s    3.4 MB`"""
    took = "" if result.how == "cached" else duration(result.seconds)
    return f"{result.stage.name:<18} {result.how:<8} {took:>12} {size(result.action.size):>10}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
