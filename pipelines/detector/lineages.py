"""The artefacts of one study in a store, upstream and downstream of its networks.

A lineage hangs together by keys, not by a configuration: a RoI head belongs to the proposals that
it was trained on, and to the text encoder whose names it was trained with.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from unidet.errors import UserError
from unidet.pipelines.wiring.fine_tuning import PLAIN
from unidet.store.record import Action
from unidet.store.store import Store

HEADS = ("finetune", "roi", "end2end")
NETWORKS = (*HEADS, "rpn")
"""Stages whose artefact a lineage is of: an open-vocabulary detector's, a closed-set one's."""
SETTINGS = {
    "rpn": ("rpn",),
    "proposals": ("proposals",),
    "clip": ("clip",),
    "clip_embeddings": ("clip_embeddings",),
    "roi": ("roi",),
    "end2end": ("end2end",),
    "lvis_raw": ("lvis_raw",),
    "lvis_eval": ("calibration", "detection"),
}
"""Stage -> the subtrees of the configuration that its artefact says how it was made with."""


@dataclass(frozen=True)
class Lineage:
    """A network's artefact, all upstream of it, and the newest of each kind downstream.

    Attributes:
        head: the network's own artefact, of one of `NETWORKS`.
        actions: by label: `roi`, `data[val]`, `lvis_eval[val]`.
    """

    store: Store
    head: Action
    actions: Mapping[str, Action]

    def of(self, stage: str) -> dict[str, Action]:
        """The artefacts of a stage by their names, the empty one where it has a single one."""
        return {action.name: action for action in self.actions.values() if action.stage == stage}

    def folder(self, label: str) -> Path:
        """Folder of an artefact; UserError where it is not there."""
        return self.store.folder(self._action(label))

    def intact_folder(self, label: str) -> Path:
        """As `folder`; UserError also where the disk has altered its content."""
        return self.store.intact_folder(self._action(label))

    def _action(self, label: str) -> Action:
        if label not in self.actions:
            raise UserError(f"{label}: not in this study; run stage={label} of this study")
        return self.actions[label]

    @property
    def is_toy(self) -> bool:
        """Whether the network was trained on the toy world only."""
        above = _upstream(self.head, self.store.record)
        data = [recorded(action, "data") or {} for action in above if action.stage == "data"]
        sources = [config.get("source") for config in data]
        return bool(data) and all(isinstance(one, dict) and "seed" in one for one in sources)

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """Subtrees of the configuration as the artefacts were made with."""
        subtrees = {
            name: recorded(self.first(stage), name)
            for stage, names in SETTINGS.items()
            for name in names
            if self.of(stage)
        }
        settings = {name: dict(value) for name, value in subtrees.items() if value is not None}
        if self.merge:
            settings.setdefault("proposals", {})
            settings["proposals"] |= {"merge": self.merge[0], "merge_nms": self.merge[1]}
            networks = {name: recorded(action, "rpn") for name, action in self.proposers.items()}
            settings["proposers"] = {name: value for name, value in networks.items() if value}
        if settings.get("clip_embeddings", {}).get("source") == "files":
            settings["clip_embeddings"]["files"] = {}  # places, which are not recorded there
        return settings

    @cached_property
    def merge(self) -> tuple[list[str], float] | None:
        """The networks that propose together, where several do, and the NMS of their boxes."""
        union = self._proposals
        values = union.preimage.get("config", {}) if union else {}
        names, nms = values.get("proposals.merge"), values.get("proposals.merge_nms")
        if not isinstance(names, list) or not isinstance(nms, float | int):
            return None
        return (names, nms) if all(isinstance(name, str) for name in names) else None

    @cached_property
    def proposers(self) -> dict[str, Action]:
        """The artefacts of the networks that propose, by the names that `proposals.merge` has.

        Empty where the store does not know all of them.
        """
        if self.head.stage == "rpn":
            return {"": self.head}
        dumped = self._proposals
        if dumped is None or self.merge is None:
            found = {"": self._network_of(dumped) or self.actions.get("rpn")}
        else:
            keys = {name: dumped.inputs.get(f"proposals[{name}]") for name in self.merge[0]}
            found = {
                name: self._network_of(self.store.record(key)) if key else None
                for name, key in keys.items()
            }
        known = {name: action for name, action in found.items() if action is not None}
        return known if len(known) == len(found) else {}

    def _network_of(self, dumped: Action | None) -> Action | None:
        """The network that has made some proposals, where the store still knows it."""
        key = dumped.inputs.get("rpn") if dumped else None
        return self.store.record(key) if key else None

    @property
    def _proposals(self) -> Action | None:
        """Proposals that the RoI head has read: those of several networks before those of one."""
        dumps = self.of("proposals").values()
        unions = [dump for dump in dumps if "proposals.merge" in dump.preimage.get("config", {})]
        return next(iter([*unions, *dumps]), None)

    def first(self, stage: str) -> Action:
        """Any artefact of a stage: all of them were made with the same settings."""
        return next(iter(self.of(stage).values()))


def recorded(action: Action, name: str) -> dict[str, Any] | None:
    """A subtree of the configuration that an artefact was made with.

    None where its record has no such subtree, or something else: it may come from elsewhere.
    """
    value = action.preimage.get("config", {}).get(name)
    return value if isinstance(value, dict) else None


def lineages(
    store: Store, is_wanted: Callable[[Lineage], bool], stages: tuple[str, ...] = NETWORKS
) -> Iterator[Lineage]:
    """The wanted lineages with complete networks, open-vocabulary ones first, newest first, without
    heads that were fine-tuned for comparison only.

    Args:
        is_wanted: is asked of a network and what is upstream of it.
    """
    for group in (HEADS, NETWORKS[len(HEADS) :]):
        actions = [store.actions(stage) for stage in group if stage in stages]
        for head in heapq.merge(*actions, key=lambda action: action.finished, reverse=True):
            if head.name != PLAIN and store.is_complete(head):
                networks = _of_networks(head, store)
                if is_wanted(networks):
                    yield _with_downstream(networks)


def _of_networks(head: Action, store: Store) -> Lineage:
    """A network's artefact and what it was made from."""
    actions = [head, *_upstream(head, store.record)]
    return Lineage(store, head, {action.label: action for action in reversed(actions)})


def lineage_of(head: Action, store: Store) -> Lineage:
    """The lineage of a network's artefact."""
    return _with_downstream(_of_networks(head, store))


def _with_downstream(networks: Lineage) -> Lineage:
    """A network's artefact and its upstream, with the newest of each kind downstream."""
    store, head = networks.store, networks.head
    read = cache(store.record)
    actions = dict(networks.actions)
    for action in store.actions():
        if action.stage not in NETWORKS and action.label not in actions:
            above = list(_upstream(action, read))
            if any(other.key == head.key for other in above) and store.is_complete(action):
                for other in (action, *above):
                    actions.setdefault(other.label, other)
    return Lineage(store, head, actions)


def _upstream(action: Action, read: Callable[[str], Action | None]) -> Iterator[Action]:
    """Every artefact above one that is recorded, once."""
    seen, pending = {action.key}, list(action.inputs.values())
    while pending:
        key = pending.pop()
        record = None if key in seen else read(key)
        seen.add(key)
        if record is not None:
            yield record
            pending.extend(record.inputs.values())


def lineage_at(folder: Path) -> Lineage | None:
    """The lineage of a folder: a store's newest, or that of an artefact in a store; None for any
    other folder.

    Raises:
        UserError: a store without networks, or an artefact that comes before them.
    """
    if (folder / "store" / "v1").is_dir():
        store = Store(folder)
        newest = next(lineages(store, lambda lineage: True), None)
        if newest is None:
            raise UserError(f"{folder}: this store holds no trained network; run its stage=roi")
        return newest
    root = folder.resolve().parent.parent
    if not (root / "store" / "v1").is_dir():
        return None
    store = Store(root)
    for action in store.actions():
        if store.layout.artefact(action.stage, action.output).name == folder.resolve().name:
            return _through(action, store, folder)
    raise UserError(f"{folder}: the store {root} knows no such artefact")


def _through(action: Action, store: Store, folder: Path) -> Lineage:
    """The lineage of the network that an artefact was made with."""
    above = [action, *_upstream(action, store.record)]
    networks = [other for other in above if other.stage in NETWORKS]
    if networks:
        # Of a report that compares both, what keeps the old names.
        rank = {head.key: (NETWORKS.index(head.stage), head.name == PLAIN) for head in networks}
        return lineage_of(min(networks, key=lambda head: rank[head.key]), store)
    raise UserError(f"{folder}: comes before any network; give a `roi` artefact, or the store")
