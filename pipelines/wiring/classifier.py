"""The RoI network: from its configuration to the network, and what it starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.config.networks import ClassifierConfig
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring import backbones, region_parts
from unidet.pipelines.wiring.embedding_artefacts import CLASSIFIER
from unidet.pipelines.wiring.region_parts import build_region_parts

if TYPE_CHECKING:
    from unidet.models.roi_classifier import RoiClassifier


def build_classifier(settings: ClassifierConfig) -> RoiClassifier:
    """The RoI network, without vocabularies."""
    from unidet.models.roi_classifier import RoiClassifier
    from unidet.models.text_classifier import TextClassifier

    parts = build_region_parts(settings.backbone, settings.pool, settings)
    return RoiClassifier(
        parts.backbone,
        parts.shared_layer,
        parts.pool,
        TextClassifier(settings),
        settings,
        stride=parts.stride,
    )


def trained_classifier(settings: ClassifierConfig, folder: Path) -> RoiClassifier:
    """The RoI network with the weights of a `roi` artefact, without vocabularies."""
    from unidet.weights.load import load_stored

    network = build_classifier(settings)
    load_stored(network, folder / "model.safetensors")
    return network


def initialize_classifier(
    network: RoiClassifier, settings: ClassifierConfig, inputs: Mapping[str, Path]
) -> None:
    """Give the RoI network's image side its starting weights, as `initialize` says."""
    from unidet.weights.load import load_into, stored_weights
    from unidet.weights.prefixes import below

    if settings.initialize == "clip":
        with stored_weights(backbones.clip_weights(inputs["clip"])) as arrays:
            for part in ("backbone", "shared_layer", "pool"):
                load_into(getattr(network, part), below(f"{part}.", arrays))
    elif settings.initialize == "package":
        package = backbones.imagenet_package()
        package.load_backbone(network.backbone)
        package.load_last_layer(network.shared_layer)


def keep_classifier(job: Job) -> None:
    """Leave what numpy needs of the classifier: read back, for training may keep an average."""
    if (job.out / "model.safetensors").exists():  # the first of several processes leaves it
        keep_classifier_settings(job, trained_classifier(job.config.roi.network, job.out))


def keep_classifier_settings(job: Job, network: RoiClassifier) -> None:
    """Leave the scale and bias of a trained network's logits."""
    (job.out / CLASSIFIER).write_text(json.dumps(network.classifier.settings()))


def code_of(settings: ClassifierConfig) -> tuple[str, ...]:
    """The modules that the settings choose: roots of a stage's code closure."""
    return region_parts.code_of(settings.backbone, settings.initialize, settings.pool)
