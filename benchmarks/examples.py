"""AP on the toy world's `val` with categories given by example regions instead of names.

python benchmarks/examples.py [STUDY]

Examples are annotated boxes of `dev`: the first of each category, at most one per image. The
network of the study embeds these regions. Detection and evaluation are those of stage `lvis_eval`
without calibration. STUDY is as for `unidet.open_study`; `toy` by default.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np

import unidet
from unidet.evaluation.lvis import evaluate_lvis
from unidet.formats.ground_truth import read_ground_truth
from unidet.ops.numpy_boxes import xyxy_to_xywh
from unidet.pipelines.detector.model import Model
from unidet.pipelines.detector.options import Options
from unidet.pipelines.wiring.image_sets import ImageSet
from unidet.records import Detections
from unidet.vocabularies.vocabulary import Vocabulary

COUNTS = (1, 3, 5)
EVERYTHING = Options(threshold=0, top_k=300, multi_label=True)


def average_precision(images: ImageSet, model: Model, vocabulary: Vocabulary) -> float:
    """LVIS AP of a set whose categories are those of the vocabulary, in the same order."""
    ids = np.array([category.id for category in images.split.categories])
    pixels = (np.array(images.images.read(row)) for row in range(len(images.split)))
    parts = [
        Detections(
            np.full(len(detections), image_id),
            ids[detections.labels],
            xyxy_to_xywh(detections.boxes_xyxy.astype(np.float64)),
            detections.scores,
        )
        for image_id, detections in zip(
            images.split.image_ids, model.stream(pixels, vocabulary, EVERYTHING), strict=True
        )
    ]
    truth = read_ground_truth(images.ground_truth)
    return evaluate_lvis(truth, Detections.concatenate(parts)).metrics()["AP"]


def examples(images: ImageSet, model: Model, most: int) -> dict[int, np.ndarray]:
    """Label -> embeddings (K, D) of annotated regions, K <= most, at most one per image."""
    embedded: dict[int, list[np.ndarray]] = defaultdict(list)
    for row in range(len(images.split)):
        boxes, labels, _ = images.split.boxes_of(row)
        wanted = {
            int(label): box
            for box, label in zip(boxes, labels, strict=True)
            if len(embedded[int(label)]) < most
        }
        if wanted:
            vectors = model.embed(np.array(images.images.read(row)), np.stack([*wanted.values()]))
            for label, vector in zip(wanted, vectors, strict=True):
                embedded[label].append(vector)
    return {label: np.stack(vectors) for label, vectors in embedded.items() if vectors}


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else "toy"
    study, model = unidet.open_study(where), unidet.load(study=where)
    images = study.images("val")
    words = Vocabulary.of([category.name for category in images.split.categories])
    by_words = average_precision(images, model, words)
    print(f"{'words':<20} AP {by_words:.4f}", flush=True)
    embedded = examples(study.images("dev"), model, max(COUNTS))
    for count in COUNTS:
        vocabulary = words
        for label, vectors in embedded.items():
            vocabulary = vocabulary.with_example(words.names[label], vectors[:count])
        reached = average_precision(images, model, vocabulary)
        print(f"{count} examples per class AP {reached:.4f}, {reached / by_words:.3f}", flush=True)


if __name__ == "__main__":
    main()
