"""A node's key, everything its result depends on; and the artefact with that key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unidet.config.fields import identity
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.graph import files_of, inputs_of, stage_of, view_of
from unidet.pipelines.engine.node import Input, Node
from unidet.store import accepted
from unidet.store.code import Sources
from unidet.store.hashing import digest, sha256_bytes
from unidet.store.live import Use
from unidet.store.record import Action
from unidet.store.store import Store
from unidet.store.walking import files_below

KEYED_PACKAGES = ("jittor", "numpy", "pillow", "onednn-cpu-gomp")
# What these do is in the key already (configuration values), or changes no result.
UNKEYED_MODULES = (
    "unidet.backend",
    "unidet.config",
    "unidet.console",
    "unidet.errors",
    "unidet.pipelines.engine.node",
    "unidet.pipelines.engine.stage",
    "unidet.report.plots",
)


def preimage_of(
    node: Node, config: Config, store: Store, built: Mapping[Node, Action]
) -> dict[str, Any]:
    """Everything the node's result depends on, as plain data; its hash is the node's key.

    Neither the node's name nor a path is in it: equal work on equal content has one key. An input
    that is not in `built` is None.
    """
    stage = stage_of(node)
    return {
        "schema": 2,
        "stage": stage.name,
        "stage_version": stage.version,
        "config": values_of(node, config),
        "inputs": {
            name: _content(entry, built) for name, entry in sorted(inputs_of(node, config).items())
        },
        "files": {name: store.digest_of(path) for name, path in files_of(node, config).items()},
        "code": digest(modules_of(node, config, store)),
        "env": environment(),
    }


def environment() -> dict[str, str]:
    """The versions of the packages that compute."""
    return {name: _version(name) for name in KEYED_PACKAGES}


def values_of(node: Node, config: Config) -> dict[str, Any]:
    """The part of the configuration that the node's result depends on, as plain data."""
    stage, config = stage_of(node), view_of(node, config)
    values = {name: identity(getattr(config, name)) for name in sorted(stage.reads)}
    return values | identity(stage.settings(config, node.name))


def require_unchanged(
    node: Node, config: Config, store: Store, preimage: Mapping[str, Any]
) -> None:
    """Check that files outside the store are what the key says.

    Raises:
        UserError: one has changed, so that it is not known which of the two contents was read.
    """
    for name, path in files_of(node, config).items():
        if store.digest_of(path) != preimage["files"][name]:
            raise UserError(f"{path}: changed while {node} read it; run the same command again")


def _content(entry: Input, built: Mapping[Node, Action]) -> str | None:
    action = built.get(entry.node)
    if action is None:
        return None
    return action.files[entry.file].sha256 if entry.file else action.output


def modules_of(node: Node, config: Config, store: Store) -> dict[str, str]:
    """Digest of every module that the node's code can reach under this configuration."""
    modules: dict[str, str] = {}
    stage = stage_of(node)
    for root in (stage.run.__module__, *stage.code(view_of(node, config))):
        modules |= _reachable(root, store.code_cache)
    return dict(sorted(modules.items()))


@cache
def _reachable(root: str, remembered: Path) -> dict[str, str]:
    """Cached per process, which reads each source once: most nodes share their roots."""
    return _sources(remembered).closure(root, exclude=UNKEYED_MODULES)


@cache
def _sources(remembered: Path) -> Sources:
    return Sources(remembered)


def program_digest() -> str:
    """Digest of every file that the program consists of: its code, its pages of values, its lists.

    For results that are cheap to recompute: comments count, and imports are not followed.
    """
    files: dict[str, str] = {}
    for package in ("unidet", "unidet.pipelines", "unidet.conf"):
        spec = find_spec(package)
        for place in map(Path, spec.submodule_search_locations or () if spec else ()):
            for path in files_below(place):
                if path.suffix != ".pyc":
                    files[f"{package}/{path.relative_to(place)}"] = sha256_bytes(path.read_bytes())
    return digest(files)


def find(preimage: dict[str, Any], store: Store) -> Action | None:
    """The complete action for `preimage`, also for code accepted as equivalent."""
    actions = (store.lookup(key) for key in accepted.keys(store.layout, preimage))
    return next((action for action in actions if action is not None), None)


def siblings(node: Node, preimage: dict[str, Any], store: Store, use: Use) -> Iterator[Path]:
    """Folders of the artefacts of the same work on other datasets, newest first.

    Args:
        use: marks them as used by this process, for a clean-up beside it.
    """
    per_image = stage_of(node).per_image
    if not per_image:
        return
    codes = accepted.codes(store.layout, preimage)
    wanted = _shared_part(preimage, per_image)
    for action in store.actions(node.stage):
        same = _shared_part(action.preimage, per_image) == wanted
        if same and action.preimage.get("code") in codes:
            use(action.key)
            if store.lookup(action.key) is not None:
                yield store.intact_folder(action)


def _shared_part(preimage: Mapping[str, Any], per_image: tuple[str, ...]) -> dict[str, Any]:
    """A preimage, perhaps an odd one from elsewhere, without its code and without what belongs to
    one dataset."""
    shared = {**preimage, "code": None}
    if "inputs" in preimage:
        inputs = preimage["inputs"].items()
        shared["inputs"] = {name: sha for name, sha in inputs if name not in per_image}
    return shared


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
