"""Stage `finetune_eval`: AP of new and of old names, before and after fine-tuning; numpy only.

One artefact for each network and evaluation set: `start`, as it was before; `rehearsal`, after;
`plain`, after fine-tuning that does nothing to keep the old names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring import fine_tuning
from unidet.pipelines.wiring.embedding_artefacts import read_embeddings
from unidet.pipelines.wiring.fine_tuning import START
from unidet.pipelines.wiring.fine_tuning_table import GROUPS, fine_tuning_table
from unidet.pipelines.wiring.image_sets import open_image_set, read_vocabulary
from unidet.pipelines.wiring.learned_names import with_learned_names
from unidet.pipelines.wiring.metrics_table import read_metrics
from unidet.pipelines.wiring.odd_detections import tell_oddities
from unidet.pipelines.wiring.per_category import save_per_category
from unidet.pipelines.wiring.region_scoring import detections_of, regions_of, text_classifier
from unidet.pipelines.wiring.study_sets import data_of, evaluation_sets

if TYPE_CHECKING:
    import numpy as np

    from unidet.records import Category


def run(job: Job) -> None:
    from unidet.evaluation.coco import evaluate_coco
    from unidet.evaluation.lvis import evaluate_lvis
    from unidet.evaluation.per_category import per_category_table
    from unidet.formats.ground_truth import read_ground_truth

    data = open_image_set(job)
    names = [category.name for category in data.split.categories]
    vectors = read_embeddings(job.inputs["clip_embeddings"], data, regions_of(job, data).length)
    vectors = with_learned_names(vectors, names, job.inputs.get("finetune"))
    truth = read_ground_truth(data.ground_truth)
    detections = detections_of(job, data, text_classifier(job, data, vectors))
    coco = job.settings["data"]["style"] == "coco"
    tell_oddities(data.name, truth, detections, job.settings["data"]["style"])
    evaluation = (evaluate_coco if coco else evaluate_lvis)(truth, detections)
    table = per_category_table(truth, evaluation)
    table["group"] = groups = _groups(job, data.split.categories)
    save_per_category(table, job.out)
    metrics = {"AP": _mean(table["AP"])}
    metrics |= {f"AP_{name}": _mean(table["AP"][groups == name]) for name in GROUPS}
    metrics |= {f"names_{name}": int((groups == name).sum()) for name in GROUPS}
    (job.out / "metrics.json").write_text(json.dumps(metrics, indent=1))


def _groups(job: Job, categories: Sequence[Category]) -> np.ndarray:
    """(C,) of each category: "new" learned now, "old" known to the start, "other" neither."""
    import numpy as np

    from unidet.data.novelty import novel_categories

    named: dict[int, str] = {}
    for group in ("old", "new"):  # a name that is both was refused; a synonym may be
        labels = job.settings["finetune"][group]
        names = (c.name for label in labels for c in read_vocabulary(job.inputs[label]))
        unnamed = novel_categories(categories, names)
        named |= dict.fromkeys((key for key, absent in unnamed.items() if not absent), group)
    return np.array([named.get(category.id, "other") for category in categories])


def _mean(values: Any) -> float:
    """Over categories with annotations."""
    from unidet.records import UNDEFINED

    return float(values.mean()) if values.notna().any() else UNDEFINED


def nodes(config: Config) -> tuple[str, ...]:
    """NETWORK/SET."""
    tuned = fine_tuning.tuned(config)
    networks = (*tuned, START) if tuned else ()
    return tuple(f"{network}/{name}" for network in networks for name in evaluation_sets(config))


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    network, _, evaluated = name.partition("/")
    raw = Node("lvis_raw", evaluated) if network == START else Node("finetune_raw", name)
    vocabulary = evaluation_sets(config)[evaluated].vocabulary
    return {
        "data": data_of(evaluated),
        "clip_embeddings": Input(Node("clip_embeddings", vocabulary)),
        "lvis_raw": Input(raw),
        **({} if network == START else {"finetune": Input(Node("finetune", network))}),
        **{label: entry for group in _names(config).values() for label, entry in group.items()},
    }


def _names(config: Config) -> dict[str, dict[str, Input]]:
    """Group -> label of an input -> the names."""
    vocabularies = {
        "new": fine_tuning.new_vocabularies(config),
        "old": fine_tuning.kept_vocabularies(config),
    }
    return {
        group: {f"{group}[{name}]": fine_tuning.names_of(name, config) for name in names}
        for group, names in vocabularies.items()
    }


def settings(config: Config, name: str) -> dict[str, Any]:
    style = evaluation_sets(config)[name.partition("/")[2]].style
    labels = {group: list(entries) for group, entries in _names(config).items()}
    return {"data": {"style": style}, "finetune": labels}


def summary(folders: Mapping[str, Path]) -> str:
    return fine_tuning_table({name: read_metrics(folder) for name, folder in folders.items()})


STAGE = Stage(
    name="finetune_eval",
    version=1,
    reads=("calibration", "detection"),
    run=run,
    nodes=nodes,
    why_none=fine_tuning.why_none,
    inputs=inputs,
    settings=settings,
    summary=summary,
    tensors=False,
)
