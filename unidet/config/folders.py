"""Folders of configuration beside `conf/`: `-C DIR` is a study there, `--config-dir DIR` adds one.

Both become overrides, so that a run, a verb, a sweep and its jobs take them alike.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unidet.config.overrides import quoted, texts_of
from unidet.errors import UserError

STUDY = "experiment/study.yaml"
"""What `-C DIR` runs, below DIR."""
_OPTIONS = ("-C", "--config-dir")
_SEARCH_PATH, _EXPERIMENT = "hydra.searchpath=", "experiment="


@dataclass(frozen=True)
class ConfigFolders:
    """The folders of a command, absolute, and whether one of them contains its study."""

    places: tuple[Path, ...] = ()
    has_study: bool = False

    def before(self, overrides: Sequence[str]) -> list[str]:
        """`overrides` behind those that make Hydra look in the folders.

        What is given stands: another experiment, a search path of one's own.
        """
        added = []
        if self.places and not any(item.startswith(_SEARCH_PATH) for item in overrides):
            places = ",".join(quoted(str(place)) for place in self.places)
            added.append(f"{_SEARCH_PATH}[{places}]")
        if self.has_study and not any(item.startswith(_EXPERIMENT) for item in overrides):
            added.append(f"{_EXPERIMENT}{Path(STUDY).stem}")
        return [*added, *overrides]


def study_folder(overrides: Sequence[str]) -> Path | None:
    """The DIR of a `-C DIR` that is part of these overrides; None if another study is chosen."""
    chosen = [item for item in overrides if item.startswith(_EXPERIMENT)]
    if chosen[-1:] != [f"{_EXPERIMENT}{Path(STUDY).stem}"]:
        return None
    return next((p for p in searched_folders(overrides) if (p / STUDY).is_file()), None)


def searched_folders(overrides: Sequence[str]) -> list[Path]:
    """The folders besides `conf/` that Hydra searches with these overrides."""
    paths = [item for item in overrides if item.startswith(_SEARCH_PATH)]
    return [Path(text) for text in texts_of(paths[-1])] if paths else []


def take_folders(arguments: Sequence[str]) -> tuple[ConfigFolders, list[str]]:
    """The folders that `-C` and `--config-dir` name, wherever they stand, and the other arguments.

    Raises:
        UserError: no folder follows, or none of that name is there, or it holds no study for `-C`.
    """
    places, rest, has_study = [], [], False
    waiting = iter(arguments)
    for argument in waiting:
        option, equals, value = argument.partition("=")
        if option not in _OPTIONS:
            rest.append(argument)
            continue
        place = _folder(option, value if equals else next(waiting, ""))
        if option == "-C":
            _require_study(place)
            has_study = True
        places.append(place)
    return ConfigFolders(tuple(places), has_study), rest


def _folder(option: str, text: str) -> Path:
    place = Path(os.path.expanduser(text)).absolute()
    if not text:
        raise UserError(f"{option}: a folder must follow, as in: unidet {option} DIR stage=report")
    if not place.is_dir():
        raise UserError(f"{option} {text}: is not a folder; unidet new makes one for own data")
    return place


def _require_study(place: Path) -> None:
    if not (place / STUDY).is_file():
        raise UserError(
            f"-C {place}: holds no {STUDY}; unidet new makes one; a folder of configuration files "
            "alone is given as --config-dir"
        )
