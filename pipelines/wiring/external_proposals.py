"""External proposals instead of the stage's own: `proposals.files.DATASET=FILE`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from unidet.config.study import Config
from unidet.errors import UserError, absence
from unidet.pipelines.engine.shards import Columns, Results
from unidet.pipelines.wiring.image_sets import ImageSet, image_set_at
from unidet.pipelines.wiring.study_sets import (
    TRAINING,
    evaluation_sets,
    new_sets,
    training_sets,
)

FILE = "proposals"


def starting_files(config: Config, name: str) -> dict[str, Path]:
    """The file of a dataset, mmdet's pickle or results in JSON; it enters the key by content.

    Raises:
        UserError: it is not there, or the files do not name exactly the datasets there are.
    """
    places = config.proposals.files
    if not places:
        return {}
    training = training_sets(config) if config.proposals.training else ()
    sets = (*training, *new_sets(config), *evaluation_sets(config))
    set_names = [_called(set_name, config) for set_name in sets]
    missing = [set_name for set_name in set_names if set_name not in places]
    unknown = [set_name for set_name in places if set_name not in set_names]
    root = Path(config.data.root)
    for set_name, place in places.items():
        if not (root / place).is_file():
            raise UserError(f"proposals.files.{set_name}: {root / place} {absence(root / place)}")
    if missing or unknown:
        raise UserError(
            f"proposals.files: must name a file for each of {', '.join(set_names)}; "
            + (f"nothing for {', '.join(missing)}" if missing else f"no {', '.join(unknown)}")
        )
    return {FILE: root / places[_called(name, config)]}


def _called(name: str, config: Config) -> str:
    """What a person calls a set among the files: a training set by its plain name, or, where an
    evaluation set has that too, as its node is called."""
    plain = name.removeprefix(TRAINING)
    called_alike = plain in evaluation_sets(config) or name in config.proposals.files
    return name if called_alike else plain


def given_results(files: Mapping[str, Path], data: ImageSet, keep: int) -> Results:
    """The best `keep` boxes and scores that a file holds of each of the set's images.

    Raises:
        UserError: the file cannot be read, or is of other images.
    """
    from unidet.formats.mmdet_pickles import read_proposals

    arrays = read_proposals(files[FILE], data.split.image_ids)

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        for row in rows:
            best = arrays[row][:keep]
            yield row, {"boxes_xyxy": best[:, :4], "scores": best[:, 4]}

    return results


def check_file(path: Path, data: Path) -> None:
    """Read a file whole, as the stage will, for the images of the `data` artefact at `data`."""
    given_results({FILE: path}, image_set_at(data, None, ""), keep=1)
