"""The trained network that classifies regions: of stage `roi`, or the end-to-end one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from unidet.config.images import ImageConfig
from unidet.config.study import Config
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring import classifier
from unidet.pipelines.wiring.study_networks import END_TO_END, MODULE, ROI, end_to_end

if TYPE_CHECKING:
    from unidet.models.roi_classifier import RoiClassifier


def open_naming(job: Job) -> tuple[RoiClassifier, ImageConfig]:
    """The network of a job, without vocabularies, and its image settings."""
    if END_TO_END in job.inputs:
        settings = job.settings[END_TO_END]
        network = import_module(MODULE).open_end_to_end(settings, job.inputs[END_TO_END])
        return network.regions, settings.images
    settings = job.settings[ROI]
    return classifier.trained_classifier(settings.network, job.inputs[ROI]), settings.images


def code_of(config: Config) -> tuple[str, ...]:
    """The modules that hold the network: roots of a stage's code closure."""
    settings = end_to_end(config)
    if settings is None:
        return classifier.code_of(config.roi.network)
    return (MODULE, *import_module(MODULE).code_of(settings))
