"""A model as `unidet detect` uses it: from what a person typed to what detects in files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.pictures.detect_files import FileDetector
from unidet.pictures.journal import stat_of
from unidet.pipelines.detector.from_study import LOAD_OR_TRAIN, find, network_of
from unidet.pipelines.detector.model import Model, load
from unidet.pipelines.detector.options import Options
from unidet.pipelines.engine.keys import environment, program_digest
from unidet.redaction import redact_argument
from unidet.vocabularies.vocabulary import Vocabulary

FILES = ("proposals_weights", "weights", "text_encoder", "embeddings")
"""What `load` takes of files."""
_STOP_BETWEEN_WORDS = re.compile(r"[^\W\d_]{2}\.[^\W\d_]{2}")
_EXAMPLE = re.compile(r"(?P<name>[^=]+)=(?P<file>.+?)(@(?P<box>[\d.]+(,[\d.]+){3}))?", re.S)


def open_for_files(
    source: Mapping[str, Any],
    vocabulary: str | None,
    examples: Sequence[str],
    options: Options,
    *,
    proposals: bool,
) -> FileDetector:
    """The model that `load(**source)` gives, for these names.

    Args:
        vocabulary: as `Vocabulary.parse` takes it; None: the model's own names.
        examples: NAME=IMAGE or NAME=IMAGE@X1,Y1,X2,Y2, each one more example of its name.
        proposals: whether proposals are to be drawn.

    Raises:
        UserError: as `load`; no names; an example that cannot be read.
    """
    identity: dict[str, Any] = {
        "files": _stats(source, examples),
        "examples": list(examples),
        "overrides": list(map(redact_argument, source.get("overrides", ()))),
        "program": program_digest(),
        "env": environment(),
    }
    chosen = None
    if not any(source.get(name) for name in FILES):
        chosen = find(source.get("study"), None, source.get("overrides", ()), or_else=LOAD_OR_TRAIN)
        identity["network"] = chosen[0].head.key
    names = None if vocabulary is None else names_given(vocabulary)
    model = load(**source) if chosen is None else Model(network_of(*chosen))
    names = _with_examples(model, names, examples)
    classes = model.names if names is None else names.names
    if classes is None:
        raise UserError(f"--vocab: {model.asks}")
    return FileDetector(
        names=classes,
        detect=lambda images: model.stream(images, names, options),
        propose=model.proposals if proposals else None,
        identity={
            **identity,
            "options": asdict(options),
            "synonyms": [entry.synonyms for entry in names.entries] if names else [],
        },
    )


def names_given(text: str) -> Vocabulary:
    """`Vocabulary.parse` of what a person typed, with a note where it may have been meant as
    several names: GroundingDINO parts `dog.cat` at the full stop, which a name may hold as well.
    """
    names = Vocabulary.parse(text)
    if len(names) == 1 and _STOP_BETWEEN_WORDS.search(names.names[0]):
        say(f"note: {names.names[0]!r:.60} is one name; several are separated by commas")
    return names


def _with_examples(
    model: Model, names: Vocabulary | None, examples: Sequence[str]
) -> Vocabulary | None:
    embeddings: dict[str, list[np.ndarray]] = {}
    for text in examples:
        name, path, box = _parsed(text)
        try:
            embedding = model.embed(path, box)  # in its own pixels, however large it is
        except UserError as error:
            raise UserError(f"--example: {text}: {error}") from None
        embeddings.setdefault(name, []).append(embedding)
    if embeddings and names is None:
        names = Vocabulary(())
    for name, several in embeddings.items():
        assert names is not None
        names = names.with_example(name, np.concatenate(several))
    return names


def _parsed(example: str) -> tuple[str, Path, np.ndarray | None]:
    """Name, file, (1, 4) box or none."""
    match = _EXAMPLE.fullmatch(example)
    if match is None:
        raise UserError(f"--example: {example!r:.60} must be NAME=IMAGE or NAME=IMAGE@X1,Y1,X2,Y2")
    path = Path(os.path.expanduser(match["file"]))
    if not path.is_file():
        what = "is a folder, must be an image" if path.is_dir() else "no such file"
        advice = "; a box in an image is @X1,Y1,X2,Y2 in pixels" if "@" in path.name else ""
        raise UserError(f"--example: {path}: {what}{advice}")
    corners = [float(value) for value in match["box"].split(",")] if match["box"] else []
    box = np.array([corners]) if corners else None
    return match["name"].strip(), path, box


def _stats(source: Mapping[str, Any], examples: Sequence[str]) -> list[list[Any]]:
    """The files that the detections depend on, so that no other's are resumed."""
    files = [Path(source[name]) for name in FILES if source.get(name)]
    files += [_parsed(text)[1] for text in examples]
    return [[os.path.abspath(path), *stat_of(str(path))] for path in files if path.exists()]
