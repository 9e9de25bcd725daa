"""`unidet new`: a study of the user's own data."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.folders import STUDY
from unidet.console.terminal import Progress, printable
from unidet.counts import counted
from unidet.data.check import shared_pictures
from unidet.data.division import divide
from unidet.data.own_data import OwnData, read_own, require_apart
from unidet.errors import UserError
from unidet.formats.labels.coco import Document, is_object
from unidet.formats.labels.recognize import is_unfinished
from unidet.formats.labels.records import TRAIN, VAL
from unidet.pipelines.wiring.label_copy import ReadFrom, write_copy
from unidet.pipelines.wiring.machine_sizes import Machine, Sizes, sizes_for, this_machine
from unidet.pipelines.wiring.own_labels import check_labels
from unidet.pipelines.wiring.whole_folder import check_empty, new_folder
from unidet.store.disk import check_folder, whole_file
from unidet.store.hashing import sha256_file

ANNOTATIONS = "annotations"
"""Folder in the study's that holds the labels as they are read, a file for each part."""
_WRITTEN = (ANNOTATIONS, STUDY.partition("/")[0])
CLIP_FILES = ("RN50.pt", "bpe_simple_vocab_16e6.txt.gz")
_FEW = 200
"""Training images below which a detector that starts from scratch learns next to nothing."""
_SHOWN_NAMES = 8


@dataclass(frozen=True)
class Request:
    """The arguments of `unidet new`."""

    folder: Path
    images: Path
    annotations: Path
    format: str = ""
    seed: int = 0
    evaluation: float = 0.25
    clip: Path | None = None
    embeddings: Path | None = None
    weights: Path | None = None
    again: bool = False

    @property
    def study(self) -> Path:
        return self.folder / STUDY

    @property
    def is_there(self) -> bool:
        """Whether the folder holds a study; one that was being written is none."""
        return self.study.exists() and not is_unfinished(self.folder)

    @property
    def reading(self) -> list[str]:
        """The arguments that say what is read, and how."""
        names = ("images", "annotations", "format", "seed", "evaluation", "clip", "embeddings")
        given = {f"--{name}": getattr(self, name) for name in names}
        return [text for option, value in given.items() if value for text in (option, str(value))]

    @property
    def knows_text(self) -> bool:
        return self.clip is not None or self.embeddings is not None


def new_study(request: Request) -> list[str]:
    """Write the study's folder; returns lines on what was found and what comes next.

    Raises:
        UserError: labels or images that cannot be read, a folder that holds a study already or
            is one of the user's own, files that are not there.
    """
    _check_places(request)
    read = ReadFrom.of(request.annotations, request.reading)  # a later edit is noticed
    data = read_own(request.annotations, request.images, request.format)
    noted = check_labels(data, request.annotations, request.images, request.embeddings)
    digests = _digests(data, request.images)
    parts = data.documents
    if not data.is_divided:
        parts = _divided(data.documents[""], digests, request)
    lines = [_found(data, parts), *_division(data, parts, request), *_copies(parts, digests)]
    lines += [f"note: {note}" for note in (*data.notes, *noted, *_of_names(request, parts))]
    if request.is_there:
        _write_labels(request, data, parts, read)
        lines.append(f"{request.study}: kept; its labels were read again")
        advice: Iterable[str] = ()
    else:
        with new_folder(request.folder, _WRITTEN):
            _write_labels(request, data, parts, read)
            text = study_text(request, data, parts, this_machine())
            request.study.parent.mkdir()
            with whole_file(request.study) as partial:
                partial.write_text(text, encoding="utf-8")
        lines.append(f"{request.study}: written; every value in it can be changed")
        advice = _advice(request, parts)
    return [*lines, *advice, f"next: {_next(request)}"]


def _check_places(request: Request) -> None:
    require_apart(request.folder, request.images, request.annotations)
    if request.is_there and not request.again:
        raise UserError(
            f"{request.study}: exists already; --again reads its labels again and keeps the "
            "study file, another folder makes another study"
        )
    check_folder(request.folder)
    if not request.is_there:
        check_empty(request.folder, _WRITTEN)
    for name in CLIP_FILES:
        if request.clip is not None and not (request.clip / name).is_file():
            raise UserError(f"--clip {request.clip}: holds no {name}, one of OpenAI's files")
    for option, file in (("--embeddings", request.embeddings), ("--weights", request.weights)):
        if file is not None and not file.is_file():
            raise UserError(f"{option} {file}: no such file")
    if request.weights is not None:
        from unidet.pipelines.wiring.new_weights import require_start

        require_start(request.weights, knows_text=request.knows_text)


# --- labels ------------------------------------------------------------------------------------


def _digests(data: OwnData, images: Path) -> dict[str, str]:
    """Image -> sha256 of its file."""
    documents = data.documents.values()
    names = [image["file_name"] for document in documents for image in document["images"]]
    progress = Progress("reading images")
    digests = {}
    for done, name in enumerate(names, start=1):
        digests[name] = sha256_file(images / name)
        progress.update(done, len(names))
    progress.close()
    return digests


def _divided(document: Document, digests: dict[str, str], request: Request) -> dict[str, Document]:
    return divide(
        document,
        seed=request.seed,
        fraction=request.evaluation,
        digest_of=digests.__getitem__,
        place=request.annotations,
    )


def _write_labels(
    request: Request, data: OwnData, parts: dict[str, Document], read: ReadFrom
) -> None:
    division: dict[str, Any] = {"by": "the data's own parts"}
    if not data.is_divided:
        division = {"by": "content", "seed": request.seed, "evaluation": request.evaluation}
    documents = {
        part: {**document, "info": {"format": data.format, "part": part, "division": division}}
        for part, document in parts.items()
    }
    write_copy(request.folder / ANNOTATIONS, documents, read)


def is_federated(document: Document) -> bool:
    """Whether every image lists absent categories, as in LVIS."""
    return all("neg_category_ids" in image for image in document["images"])


# --- what is said ------------------------------------------------------------------------------


def _found(data: OwnData, parts: dict[str, Document]) -> str:
    names = {entry["id"]: entry["name"] for entry in parts[TRAIN]["categories"]}
    boxes = [box for document in parts.values() for box in document["annotations"]]
    counts = Counter(names[box["category_id"]] for box in boxes)
    shown = [f"{name} {count}" for name, count in counts.most_common(_SHOWN_NAMES)]
    pictures = sum(len(document["images"]) for document in parts.values())
    return (
        f"{data.format}: {counted(pictures, 'image')}, {counted(len(boxes), 'box', 'boxes')}, "
        f"{counted(len(names), 'name')} ({_some(shown, len(names))})"
    )


def _some(texts: Sequence[str], count: int) -> str:
    """The first of so many, and how many more there are."""
    more = f", and {count - _SHOWN_NAMES} more" if count > _SHOWN_NAMES else ""
    return ", ".join(texts[:_SHOWN_NAMES]) + more


def _division(data: OwnData, parts: dict[str, Document], request: Request) -> Iterator[str]:
    train, val = (len(parts[part]["images"]) for part in (TRAIN, VAL))
    how = "as the data say" if data.is_divided else f"by content and seed {request.seed}"
    yield f"{counted(train, 'image')} for training, {val} for evaluation, {how}"
    if not data.is_divided and val < round(request.evaluation * _annotated(parts)):
        yield (
            f"note: fewer for evaluation than --evaluation {request.evaluation:g} asks for: every "
            "name keeps an image for training, and copies stay together"
        )
    for part, use in ((TRAIN, "training"), (VAL, "evaluation")):
        met = {box["category_id"] for box in filter(is_object, parts[part]["annotations"])}
        if absent := [c["name"] for c in parts[part]["categories"] if c["id"] not in met]:
            have = counted(len(absent), "name has", "names have")
            yield f"note: {have} no box for {use}: {_some(absent, len(absent))}"


def _copies(parts: dict[str, Document], digests: dict[str, str]) -> Iterator[str]:
    train, val = (
        {image["file_name"]: digests[image["file_name"]] for image in parts[part]["images"]}
        for part in (TRAIN, VAL)
    )
    if shared := shared_pictures(train, val):
        yield (
            f"note: {shared.count} × image for evaluation with the content of one for training, "
            f"which flatters what is evaluated, first {shared.first}"
        )


def _of_names(request: Request, parts: dict[str, Document]) -> Iterator[str]:
    names = [entry["name"] for entry in parts[TRAIN]["categories"]]
    if request.clip is not None and all(re.fullmatch(r"\D{0,9}\d+", name) for name in names):
        yield (
            f"all names are numbers ({printable(', '.join(names[:3]))}, …), which mean nothing to "
            "a text encoder; call the categories by words"
        )


def _annotated(parts: dict[str, Document]) -> int:
    """How many images have a box to train on."""
    return sum(
        len({box["image_id"] for box in filter(is_object, document["annotations"])})
        for document in parts.values()
    )


def _advice(request: Request, parts: dict[str, Document]) -> Iterator[str]:
    """Of a study file that is written; what a kept one starts from is not asked for again."""
    if not request.knows_text:
        count = len(parts[TRAIN]["categories"])
        yield (
            "no text encoder: a closed-set study, which learns these names and finds no others; "
            f"for any name: --clip FOLDER with OpenAI's {' and '.join(CLIP_FILES)}, or "
            f"--embeddings FILE.npy with {count} x 1024 numbers"
        )
    if request.weights is not None and not request.knows_text:
        from unidet.pipelines.wiring.new_weights import start_of

        by_id = sorted(parts[TRAIN]["categories"], key=lambda entry: entry["id"])
        yield from start_of(request.weights, [entry["name"] for entry in by_id])
    pictures = len(parts[TRAIN]["images"])
    if pictures < _FEW and request.weights is None and not request.knows_text:
        yield (
            f"{counted(pictures, 'image')}: few to train a detector from scratch, expect AP near "
            "0; --weights FILE starts from one that was trained on COCO (docs/own-data.md)"
        )


def _next(request: Request) -> str:
    return f"unidet -C {shlex.quote(str(request.folder))} stage=report"


# --- the study file ----------------------------------------------------------------------------


def study_text(
    request: Request, data: OwnData, parts: dict[str, Document], machine: Machine
) -> str:
    """The study file: some ten lines with a comment each."""
    names = [entry["name"] for entry in parts[TRAIN]["categories"]]
    sizes = sizes_for(_picture_sizes(parts[TRAIN]), request.knows_text, machine)
    shown = printable(", ".join(names[:_SHOWN_NAMES]) + ", …" * (len(names) > _SHOWN_NAMES))
    style = "lvis" if request.knows_text and is_federated(parts[VAL]) else "coco"
    images = _text(request.images)
    used = f"images: {images}, vocabulary: own"
    lines = [
        "# @package _global_",
        f"# {counted(len(names), 'name')} ({shown}), from labels of format {data.format}.",
        f"# Run it, or go on with it: {_next(request)}",
        "defaults:",
        *_base(request),
        "  - _self_",
        f"experiment: {_quoted(request.folder.absolute().name)}",
        f"store: {{root: {_text(request.folder / 'outputs')}}}  # what is computed",
        "data:",
        f"  root: {_text(request.folder / ANNOTATIONS)}  # read again by: unidet new … --again",
        f"  training: {{own: {{annotations: {TRAIN}.json, {used}}}}}",
        f"  evaluation: {{own: {{annotations: {VAL}.json, {used}, style: {style}}}}}",
        *_text_encoder(request),
        *_networks(request, sizes, machine),
    ]
    return "\n".join(lines) + "\n"


def _base(request: Request) -> Iterator[str]:
    if not request.knows_text:
        yield "  - closed_set  # a detector of these names; needs no text encoder"
        return
    yield "  - open_vocabulary  # proposals of anything; regions are compared with names"
    if request.embeddings is not None:
        yield "  - override /clip: none"
        yield "  - override /clip_embeddings: own"


def _text_encoder(request: Request) -> Iterator[str]:
    if request.embeddings is not None:
        place = _text(request.embeddings)
        yield f"clip_embeddings: {{files: {{own: {place}}}}}  # a row for each name"
    elif request.clip is not None:
        weights, merges = (_text(request.clip / name) for name in CLIP_FILES)
        yield f"clip: {{checkpoint: {weights}, merges: {merges}}}"


def _networks(request: Request, sizes: Sizes, machine: Machine) -> Iterator[str]:
    yield f"rpn:  # for {machine.description}: about {sizes.minutes} minutes"
    if request.weights is not None:
        yield f"  weights: {_text(request.weights)}  # where training starts"
    if not request.knows_text:
        side = sizes.side
        yield f"  images: {{sides: [{side}], test_side: {side}}}  # pixels; small things need more"
    elif not machine.has_imagenet_weights and request.weights is None:
        yield "  network: {initialize: none, backbone: {frozen_stages: 0}}  # no ImageNet weights"
    training = f"{{steps: {sizes.steps}, batch_size: {sizes.batch}}}"
    yield f"  training: {training}  # more steps learn more"
    if request.knows_text:
        yield "roi:"
        if not machine.has_imagenet_weights:
            yield "  network: {initialize: none, backbone: {frozen_stages: 0}}"
        yield f"  training: {training}"


def _text(value: object) -> str:
    """A path as a YAML text, whatever it holds."""
    return _quoted(os.path.abspath(str(value)))


def _quoted(text: str) -> str:
    return json.dumps(text.replace("${", "\\${"), ensure_ascii=False)


def _picture_sizes(document: Document) -> np.ndarray:
    """(N, 2) width and height."""
    return np.array([(i["width"], i["height"]) for i in document["images"]], np.int64)
