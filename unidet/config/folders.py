"""The options `-C DIR`, a study in DIR, and `--config-dir DIR`, further configuration files.

Both become overrides, so that runs, verbs, sweeps and their jobs handle them in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unidet.config.overrides import quoted, texts_of
from unidet.errors import UserError

STUDY = "experiment/study.yaml"
"""The experiment that `-C DIR` runs, relative to DIR."""
_OPTIONS = ("-C", "--config-dir")
_SEARCH_PATH, _EXPERIMENT = "hydra.searchpath=", "experiment="


@dataclass(frozen=True)
class ConfigFolders:
    """The configuration folders of a command, absolute, and whether `-C` chose a study."""

    places: tuple[Path, ...] = ()
    has_study: bool = False

    def before(self, overrides: Sequence[str]) -> list[str]:
        """`overrides`, preceded by those that add the folders to Hydra's search path.

        An experiment or a search path among `overrides` is kept.
        """
        added = []
        if self.places and not any(item.startswith(_SEARCH_PATH) for item in overrides):
            places = ",".join(quoted(str(place)) for place in self.places)
            added.append(f"{_SEARCH_PATH}[{places}]")
        if self.has_study and not any(item.startswith(_EXPERIMENT) for item in overrides):
            added.append(f"{_EXPERIMENT}{Path(STUDY).stem}")
        return [*added, *overrides]


def study_folder(overrides: Sequence[str]) -> Path | None:
    """The DIR of the `-C DIR` behind these overrides; None if they choose another study."""
    chosen = [item for item in overrides if item.startswith(_EXPERIMENT)]
    if chosen[-1:] != [f"{_EXPERIMENT}{Path(STUDY).stem}"]:
        return None
    return next((p for p in searched_folders(overrides) if (p / STUDY).is_file()), None)


def searched_folders(overrides: Sequence[str]) -> list[Path]:
    """The folders besides `conf/` that Hydra searches with these overrides."""
    paths = [item for item in overrides if item.startswith(_SEARCH_PATH)]
    return [Path(text) for text in texts_of(paths[-1])] if paths else []


def take_folders(arguments: Sequence[str]) -> tuple[ConfigFolders, list[str]]:
    """The folders given by `-C` and `--config-dir`, and the other arguments.

    Raises:
        UserError: an option without a folder, a folder that does not exist, or one without a study
            for `-C`.
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
