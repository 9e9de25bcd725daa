"""The jobs of a sweep, and the artefacts that several of them need, which are built once before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from unidet.config.study import Config
from unidet.pipelines.engine.graph import files_of, inputs_of, needed, targets
from unidet.pipelines.engine.keys import values_of
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.states import built_folders
from unidet.store.hashing import digest


@dataclass(frozen=True)
class Planned:
    """One command of a sweep."""

    name: str
    overrides: tuple[str, ...]
    config: Config

    @property
    def nodes(self) -> list[Node]:
        """The command's target nodes, the main one first."""
        return targets(self.config.stage, self.config)

    @property
    def main(self) -> Node:
        """The node whose folder the command prints last."""
        return self.nodes[0]

    @cached_property
    def recipes(self) -> dict[Node, str]:
        """A digest of all that the configuration says about each node needed, upstream included.

        Two jobs with the same recipe of a node share its artefact.
        """
        recipes: dict[Node, str] = {}
        for node in needed(self.config.stage, self.config):
            inputs, files = inputs_of(node, self.config), files_of(node, self.config)
            recipe = {
                "stage": node.stage,
                "config": values_of(node, self.config),
                "files": {name: str(path) for name, path in files.items()},
                "inputs": {name: recipes[entry.node] for name, entry in inputs.items()},
                "store": self.config.store.root,
            }
            recipes[node] = digest(recipe)
        return recipes


def waves(jobs: Sequence[Planned]) -> Iterator[list[Planned]]:
    """The jobs in waves: artefacts that several jobs of a later wave need are built once in an
    earlier one.
    """
    upstream = shared_upstream(jobs)
    if upstream:
        yield from waves(upstream)
    yield list(jobs)


def shared_upstream(jobs: Sequence[Planned]) -> list[Planned]:
    """One job per artefact that several jobs need and the store lacks, without those further
    upstream.
    """
    users: dict[str, list[tuple[Planned, Node]]] = {}
    for job in jobs:
        for node, recipe in job.recipes.items():
            if node not in job.nodes:
                users.setdefault(recipe, []).append((job, node))
    shared = {recipe: using[0] for recipe, using in users.items() if len(using) > 1}
    brought_along = {
        job.recipes[upstream]
        for job, node in shared.values()
        for upstream in needed(str(node), job.config)
        if upstream != node
    }
    missing = [
        (job, node)
        for recipe, (job, node) in shared.items()
        if recipe not in brought_along and built_folders(str(node), job.config) is None
    ]
    return [_upstream_job(job, target) for job, target in _joined(missing)]


def _joined(parts: Sequence[tuple[Planned, Node]]) -> list[tuple[Planned, str]]:
    """One target for all artefacts of a stage that a job needs, if all of them are shared."""
    together: dict[tuple[str, str], tuple[Planned, list[Node]]] = {}
    for job, node in parts:
        together.setdefault((job.name, node.stage), (job, []))[1].append(node)
    joined: list[tuple[Planned, str]] = []
    for job, nodes in together.values():
        everything = {node for node in job.recipes if node.stage == nodes[0].stage}
        if everything == {*nodes} == {*targets(nodes[0].stage, job.config)}:
            joined.append((job, nodes[0].stage))
        else:
            joined += [(job, f"{node.stage}:{node.name}") for node in nodes]
    return joined


def _upstream_job(job: Planned, target: str) -> Planned:
    overrides = (
        *(item for item in job.overrides if not item.startswith("stage=")),
        f"stage={target}",
    )
    name = re.sub(r"\W", "-", target)
    return Planned(f"{name}-for-{job.name}", overrides, replace(job.config, stage=target))
