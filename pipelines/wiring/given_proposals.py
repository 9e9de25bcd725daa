"""Proposals that others made, in place of the stage's own: `proposals.files.DATASET=FILE`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.formats.mmdet_pickles import read_proposals
from unidet.pipelines.engine.shards import Columns
from unidet.pipelines.wiring.datasets import ImageSet, Judged


def starting_files(config: Config) -> dict[str, Path]:
    """The files by dataset; they enter the stage's key by content.

    Raises:
        UserError: one of them is not there.
    """
    root = Path(getattr(config.data, "root", ""))
    found = {name: root / place for name, place in config.proposals.files.items()}
    for name, path in found.items():
        if not path.is_file():
            raise UserError(f"proposals.files.{name}: {path} does not exist")
    return found


class GivenProposals:
    """Looks proposals up where the stage would run its network.

    Args:
        training, judged: the datasets that proposals are wanted for.
        files: mmdet's pickle, or results in JSON, of each of them.
        keep: the best so many of an image.

    Raises:
        UserError: a dataset without a file, or a file for a dataset that is not there.
    """

    def __init__(
        self,
        training: Sequence[ImageSet],
        judged: Sequence[Judged],
        files: dict[str, Path],
        keep: int,
    ) -> None:
        self._judged, self._files, self._keep = judged, files, keep
        self._loaded: tuple[ImageSet | None, list[np.ndarray]] = (None, [])
        known = [*(one.name for one in training), *(one.name for one in judged)]
        missing = [name for name in known if name not in files]
        unknown = [name for name in files if name not in known]
        if missing or unknown:
            raise UserError(
                f"proposals.files: must name a file for each of {', '.join(known)}; "
                + (f"nothing for {', '.join(missing)}" if missing else f"no {', '.join(unknown)}")
            )

    def __call__(self, image_set: ImageSet, rows: Sequence[int]) -> Iterator[Columns]:
        """Boxes and scores of an image set's rows, one image after another."""
        if self._loaded[0] is not image_set:
            self._loaded = (image_set, self._read(image_set))
        for row in rows:
            best = self._loaded[1][row][: self._keep]
            yield {"boxes_xyxy": best[:, :4], "scores": best[:, 4]}

    def _read(self, image_set: ImageSet) -> list[np.ndarray]:
        if image_set.vocabulary:  # images for evaluation belong to several label spaces, to none
            return read_proposals(self._files[image_set.name], image_set.split.image_ids)
        found: dict[int, np.ndarray] = {}
        for judged in self._judged:
            if judged.image_set == image_set.name:
                arrays = read_proposals(self._files[judged.name], judged.split.image_ids)
                found.update(zip(judged.rows.tolist(), arrays, strict=True))
        return [found[row] for row in range(len(image_set.split))]
