"""The trained network that proposes: of stage `rpn`, or the end-to-end one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from unidet.config.images import ImageConfig
from unidet.config.study import Config
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.proposers import proposer
from unidet.pipelines.proposers.proposer import Proposer
from unidet.pipelines.wiring.study_networks import END_TO_END, MODULE, RPN, end_to_end
from unidet.pipelines.wiring.study_sets import proposers


def open_proposing(job: Job) -> tuple[Proposer, ImageConfig]:
    """The network of a job, and its image settings."""
    if END_TO_END in job.inputs:
        settings = job.settings[END_TO_END]
        open_end_to_end = import_module(MODULE).open_end_to_end
        return open_end_to_end(settings, job.inputs[END_TO_END]), settings.images
    settings = job.settings[RPN]
    return proposer.open_proposer(settings, job.inputs[RPN]), settings.images


def open_all_proposing(job: Job) -> Iterator[tuple[Proposer, ImageConfig]]:
    """The same for several networks that propose together."""
    if END_TO_END in job.inputs:
        yield open_proposing(job)
        return
    for name, settings in (job.settings["proposers"] or {"": job.settings[RPN]}).items():
        folder = job.inputs[str(Node(RPN, name))]
        yield proposer.open_proposer(settings, folder), settings.images


def code_of(config: Config) -> tuple[str, ...]:
    """The modules that hold the network, or all of several: roots of a stage's code closure."""
    settings = end_to_end(config)
    if settings is None:
        networks = proposers(config).values()
        return tuple(module for network in networks for module in proposer.code_of(network))
    return (MODULE, *import_module(MODULE).code_of(settings))
