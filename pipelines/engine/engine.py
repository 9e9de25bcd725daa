"""Runs a target and everything upstream that is missing or stale."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from typing import Any

from unidet.backend.gpu import require_cuda
from unidet.config.study import Config
from unidet.console.interrupt import at_once, check
from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.pipelines.engine.full_gpu import full_gpu_explained
from unidet.pipelines.engine.graph import (
    files_of,
    inputs_of,
    needed,
    stage_of,
    targets,
    view_of,
)
from unidet.pipelines.engine.keys import (
    find,
    modules_of,
    preimage_of,
    require_unchanged,
    siblings,
)
from unidet.pipelines.engine.mpi import run_together
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.processes import fill_shards
from unidet.pipelines.engine.progress_lines import Done, Lines
from unidet.pipelines.engine.remotes import from_remote, note_no_store, reaching
from unidet.pipelines.engine.spent import earlier_seconds, remember_seconds
from unidet.pipelines.engine.stage import Job, Stage, Subtrees
from unidet.pipelines.wiring.label_copy import tell_label_changes
from unidet.pipelines.wiring.study_sets import images_folder
from unidet.store import accepted
from unidet.store.disk import clear_errors, entries, nearest_folder
from unidet.store.hashing import key_of
from unidet.store.live import Use, in_use
from unidet.store.lock import Owner
from unidet.store.places import require_base, require_folders
from unidet.store.record import Action
from unidet.store.runs import How
from unidet.store.store import Store

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def open_store(config: Config) -> Store:
    """The store of a study, which need not exist yet.

    Raises:
        UserError: a file stands where it should be.
    """
    root = Path(config.store.root)
    nearest_folder(root)
    store = Store(root)
    require_base(store.layout)
    return store


def existing_store(config: Config) -> Store:
    """The existing store of a study, for operations on all of its content.

    Raises:
        UserError: nothing was ever stored there.
    """
    store = open_store(config)
    base = store.layout.base
    with clear_errors(store.root):
        found = entries(base) if base.is_dir() else []
    # `status` and other verbs that only look for artefacts make the caches, wherever that is.
    if all(path == store.layout.stat_cache for path in found):
        raise UserError(
            f"store.root: nothing is stored in {store.root}; give the folder of a store, or run "
            f"a stage first"
        )
    return store


def run(config: Config) -> dict[Node, Done]:
    """Run the target, and whatever upstream of it is missing or stale.

    Raises:
        UserError: bad input, or something upstream missing under `upstream=require`.
        Interrupted: asked to stop; the same call resumes.
    """
    store = open_store(config)
    require_folders(store.layout)
    study = _Study(config, store, needed(config.stage, config))
    tell_label_changes(config)
    for node in study.nodes:
        # Read now, for an edit made while an early stage trains is not the code that runs later.
        modules_of(node, config, study.store)
        files_of(node, config)  # a missing file is told before anything runs
    lines = Lines()
    with in_use(study.store.layout) as study.use, _compiling_ahead(study):
        for node in study.nodes:
            if node.stage != "data":
                study.check_once()
            lines.add(run_node(node, study))
    lines.flush()
    _tell(study)
    return study.done


@dataclass
class _Study:
    """The nodes of a run in order, and which of them are done."""

    config: Config
    store: Store
    nodes: list[Node]
    use: Use = lambda *keys: None
    done: dict[Node, Done] = field(default_factory=dict)
    checked: bool = False
    has_looked: bool = False

    @property
    def built(self) -> dict[Node, Action]:
        return {node: done.action for node, done in self.done.items()}

    def preimage(self, node: Node) -> dict[str, Any]:
        """What its key is made of; files outside the store are read for that, for minutes."""
        with at_once():
            return preimage_of(node, self.config, self.store, self.built)

    def is_cached(self, node: Node) -> bool:
        inputs = inputs_of(node, self.config).values()
        ready = all(entry.node in self.done for entry in inputs)
        return ready and find(self.preimage(node), self.store) is not None

    def needs_jittor(self, node: Node) -> bool:
        """Whether it was never built and takes nothing that others computed of the same images."""
        stage, built = stage_of(node), (action.name for action in self.store.actions(node.stage))
        return stage.tensors and not stage.per_image and node.name not in built

    def check_once(self) -> None:
        """Look for bad input to every node, once all data are there and one of them is not built.

        What is built is looked at as well: a set that comes later may not fit it.

        Raises:
            UserError: before the first long stage starts, not after it.
        """
        if self.checked or self.is_cached(self.nodes[len(self.done)]):
            return
        self.checked = True
        data = {node: done.folder for node, done in self.done.items() if node.stage == "data"}
        for node in self.nodes:
            stage_of(node).check(view_of(node, self.config), node.name, data)


def _tell(study: _Study) -> None:
    """The summary of the target's artefacts, and the folder of the main one as the last line."""
    nodes = targets(study.config.stage, study.config)
    folders = {node.name: study.done[node].folder for node in nodes}
    stage = stage_of(nodes[0])
    text = stage.summary(folders)
    if text:
        print(text)
    if stage.deliver:
        deliver = import_module(stage.deliver).deliver
        place = deliver(study.config, study.store, study.done[nodes[0]].action)
        print(f"{stage.name}: {place}")
    print(study.done[nodes[0]].folder)


@contextmanager
def _compiling_ahead(study: _Study) -> Iterator[None]:
    """While first nodes run that need no Jittor, compile it for a later one; not with a remote.

    Raises:
        UserError: Jittor cannot be compiled on this machine, or runtime.device=cuda and there is
            none: told now, not after those nodes.
    """
    first, *later = study.nodes
    waits = not stage_of(first).tensors and any(stage_of(node).tensors for node in later)
    if not waits or study.config.remote or study.is_cached(first):
        yield
        return
    from unidet.backend.runtime import compiling_ahead, require_compiling

    if not study.config.cluster.executor:
        if study.config.runtime.device == "cuda":
            require_cuda()
        if any(study.needs_jittor(node) for node in later):
            require_compiling(study.config.runtime.device)
    with compiling_ahead(study.config.runtime.device):
        yield


def run_node(node: Node, study: _Study) -> Done:
    """Find the node's artefact, or build it."""
    store, started = study.store, time.monotonic()
    preimage = study.preimage(node)
    study.use(*accepted.keys(store.layout, preimage))
    how: How = "cached"
    action = find(preimage, store)
    if action is None:
        with store.locked(key_of(preimage), waiting=_waiting(node), check=check):
            action, how = _obtain(node, study, preimage)
    store.log_run(node.stage, action.key, how, node.name)
    done = Done(node, how, time.monotonic() - started, action, store.folder(action))
    study.done[node] = done
    return done


def _obtain(node: Node, study: _Study, preimage: dict[str, Any]) -> tuple[Action, How]:
    """The artefact if another process or the remote has built it meanwhile; otherwise the stage
    runs.
    """
    config, store = study.config, study.store
    action = find(preimage, store)
    if action is not None:
        return action, "cached"
    if config.remote:
        with reaching(config.remote) as remote:
            if not study.has_looked:
                study.has_looked = True
                note_no_store(remote)
            action = from_remote(remote, node, preimage, store, study.use)
        if action is not None:
            return action, "fetched"
    if config.upstream == "require" and node not in targets(config.stage, config):
        raise UserError(
            f"{node} is not built, and upstream=require does not allow running it; "
            f"run stage={node.stage} of this study"
        )
    how: How = "resumed" if store.has_work(key_of(preimage)) else "ran"
    return _execute(node, study, preimage), how


def _waiting(node: Node) -> Callable[[Owner | None], None]:
    return lambda owner: say(f"  {node}: waits for {owner or 'another process'}")


def _execute(node: Node, study: _Study, preimage: dict[str, Any]) -> Action:
    config, store, stage, key = study.config, study.store, stage_of(node), key_of(preimage)
    inputs = {name: study.done[entry.node] for name, entry in inputs_of(node, config).items()}
    job = job_of(
        node,
        config,
        inputs={name: store.intact_folder(done.action) for name, done in inputs.items()},
        work=store.work(key),
        out=store.draft(key),
        bring_up=lambda: _bring_up_for(stage, config),
        siblings=lambda: siblings(node, preimage, store, study.use),
        unchanged=cache(lambda: require_unchanged(node, config, store, preimage)),
    )
    started, earlier = time.time(), earlier_seconds(job.work)
    begun = time.monotonic()  # which nobody sets back
    try:
        with full_gpu_explained(node, config, job, stage.sharding):
            if stage.sharding is not None:
                fill_shards(node, stage.sharding, config, job)
            if config.train.processes > 1 and stage.data_parallel(config):
                run_together(node, config, job)
            else:
                stage.run(job)
        job.unchanged()
        return store.publish(
            key,
            preimage,
            stage.name,
            job.out,
            name=node.name,
            started=started,
            seconds=earlier + time.monotonic() - begun,
            inputs={name: done.action for name, done in inputs.items()},
            modules=modules_of(node, config, store),
            sources={name: str(path) for name, path in job.files.items()},
        )
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            error.filename = str(job.out)  # a write does not know what it writes to
        _keep_work(stage, job)
        if store.has_work(key) and _is_unchanged(job):
            remember_seconds(job.work, earlier + time.monotonic() - begun)
        raise


def _keep_work(stage: Stage, job: Job) -> None:
    """Of a stage that fails, finished shards stay; what else it has written may fill the disk."""
    with suppress(OSError):
        if stage.sharding is not None:
            stage.sharding.plan(job).put_back(job.work, job.out)
    rmtree(job.out, ignore_errors=True)


def _is_unchanged(job: Job) -> bool:
    """Whether the job's files are what the key says; if not, its work is removed."""
    try:
        job.unchanged()
    except UserError:
        rmtree(job.work, ignore_errors=True)
        return False
    return True


def job_of(node: Node, config: Config, **folders: Any) -> Job:
    """The job of a node: what the configuration says of it, and the folders it works in."""
    stage, store = stage_of(node), open_store(config)
    data = {
        name: images_folder(config, entry.node.name)
        for name, entry in inputs_of(node, config).items()
        if entry.node.stage == "data"
    }
    view = view_of(node, config)
    return Job(
        name=node.name,
        config=Subtrees(view, stage.name, stage.reads),
        settings=stage.settings(view, node.name),
        images={name: folder for name, folder in data.items() if folder is not None},
        files=files_of(node, config),
        digests_in=store.digests_in,
        **folders,
    )


def _bring_up_for(stage: Stage, config: Config) -> None:
    if not stage.tensors:
        raise RuntimeError(f"stage {stage.name} brings Jittor up and says that it does not")
    bring_up_jittor(config)


def bring_up_jittor(config: Config, *, mpi: bool = False) -> None:
    """Import Jittor as the configuration's `runtime` says; stages that need no tensors never do.

    Raises:
        UserError: as `bring_up`.
        Interrupted: asked to stop, which has ended its compilers too.
    """
    from unidet.backend.runtime import bring_up

    try:
        bring_up(config.runtime.device, config.runtime.threads, config.runtime.verbose, mpi=mpi)
    except UserError:
        check()
        raise
