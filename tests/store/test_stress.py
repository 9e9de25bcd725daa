"""Eight processes at one store, with a clean-up beside them that drops all it may."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from unidet.store.store import Store


def stress(what: str, folder: Path) -> Store:
    script = Path(__file__).with_name("stress.py")
    arguments = [sys.executable, str(script), what, str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return Store(folder / "outputs")


def computed(folder: Path) -> int:
    return len((folder / "computed").read_text().splitlines())


def test_eight_that_ask_for_the_same_compute_it_once(tmp_path: Path) -> None:
    stress("same", tmp_path)
    assert computed(tmp_path) == 1


def test_eight_that_ask_for_different_things_go_on_together(tmp_path: Path) -> None:
    store = stress("different", tmp_path)
    assert len(list(store.actions())) == 8


def test_nothing_in_use_is_ever_lost_to_a_clean_up(tmp_path: Path) -> None:
    stress("churn", tmp_path)
    assert computed(tmp_path) > 7  # of seven kinds: some were dropped and made again


def test_waiters_know_the_owner_and_take_over_when_it_dies(tmp_path: Path) -> None:
    stress("dead_owner", tmp_path)
    assert computed(tmp_path) == 1
