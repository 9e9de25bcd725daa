"""Compositions that are kept: never another's, and never in the way."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from unidet.config import kept as kept_module
from unidet.config.compose import compose
from unidet.config.kept import FOLDER, kept
from unidet.config.study import Config

EXPERIMENTS = sorted((Path(__file__).parents[2] / "conf" / "experiment").glob("*.yaml"))


@pytest.fixture(scope="module")
def composed() -> Config:
    return compose(["experiment=toy"])


@pytest.fixture
def asked(
    composed: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Config]:
    """asked(override, …): what is kept of them, composed with the next seed where nothing is."""
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path / "cache"))
    seeds = iter(range(1000))
    return lambda *given: kept(given, lambda: replace(composed, seed=next(seeds)))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A page in a folder of one's own."""
    page = tmp_path / "own" / "rpn" / "mine.yaml"
    page.parent.mkdir(parents=True)
    page.write_text("alpha: 0.5\n")
    return page


def searching(page: Path) -> str:
    return f"hydra.searchpath=['{page.parents[1]}']"


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / FOLDER).glob("*"))


@pytest.mark.parametrize("page", EXPERIMENTS, ids=lambda page: page.stem)
def test_every_experiment_is_kept_as_it_was_composed(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compose([f"experiment={page.stem}"])
    monkeypatch.setattr("unidet.config.compose._plain_values", None)
    again = compose([f"experiment={page.stem}"])
    assert repr(again) == repr(first)  # 1 and 1.0 too


def test_the_same_overrides_are_composed_once(asked: Callable[..., Config]) -> None:
    assert asked("rpn.seed=1").seed == 0
    assert asked("rpn.seed=1").seed == 0
    assert asked("rpn.seed=2").seed == 1
    assert asked("rpn.seed=2", "rpn.seed=1").seed == 2
    assert asked("rpn.seed=1", "rpn.seed=2").seed == 3, "the last one wins"
    assert asked("rpn.weights=\ud800").seed == 4, "no text that a file can be called"
    assert asked("rpn.weights=\ud800").seed == 4


def test_an_edit_that_leaves_time_and_size_is_noticed(
    asked: Callable[..., Config], own: Path
) -> None:
    assert asked(searching(own)).seed == 0
    state = own.stat()
    own.write_text("alpha: 0.6\n")
    os.utime(own, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert own.stat().st_mtime_ns == state.st_mtime_ns
    assert asked(searching(own)).seed == 1
    own.write_text("alpha: 0.5\n")
    assert asked(searching(own)).seed == 0, "the first pages again"
    own.with_name("more.yaml").write_text("")
    assert asked(searching(own)).seed == 2


def test_a_page_of_the_package_counts(
    asked: Callable[..., Config], own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unidet.conf.__path__", [str(own.parents[1])])
    assert asked().seed == 0
    own.write_text("alpha: 0.6\n")
    assert asked().seed == 1


def test_another_program_keeps_its_own(
    asked: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked().seed == 0
    program = kept_module._program()
    monkeypatch.setattr(kept_module, "_program", lambda: [*program, "installed-later.dist-info"])
    assert asked().seed == 1


def test_an_edit_while_it_is_composed_keeps_nothing(
    composed: Config, asked: Callable[..., Config], own: Path
) -> None:
    def edited() -> Config:
        own.write_text("alpha: 0.7\n")
        return replace(composed, seed=77)

    assert kept([searching(own)], edited).seed == 77
    own.write_text("alpha: 0.5\n")
    assert asked(searching(own)).seed == 0


def test_what_pages_do_not_settle_is_not_kept(
    asked: Callable[..., Config], own: Path, tmp_path: Path
) -> None:
    for number, override in enumerate(
        ("seed=${oc.env:SEED}", "rpn.weights=~somebody/x", "hydra.verbose=true")
    ):
        assert asked(override).seed == 2 * number
        assert asked(override).seed == 2 * number + 1
    own.write_text("weights: ${oc.env:WEIGHTS}\n")
    assert asked(searching(own)).seed == 6
    assert asked(searching(own)).seed == 7
    assert files(tmp_path) == []


def test_another_home_is_another_composition(
    asked: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked("rpn.weights=~/x").seed == 0
    assert asked("rpn.weights=~/x").seed == 0
    monkeypatch.setenv("HOME", "/elsewhere")
    assert asked("rpn.weights=~/x").seed == 1


@pytest.mark.usefixtures("asked")
def test_no_password_is_kept_wherever_it_was_given(composed: Config, tmp_path: Path) -> None:
    address = "sftp://me:secret@there/store"
    remote = replace(composed, remote=address)
    folder = replace(composed, store=replace(composed.store, root=address))
    proposals = replace(composed, proposals=replace(composed.proposals, files={"val": address}))
    for secret in (remote, folder, proposals):
        assert kept([], lambda secret=secret: secret) is secret
        assert files(tmp_path) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data, other: b"",
        lambda data, other: data[:-20],
        lambda data, other: data.replace(b"toy", b"joy"),
        lambda data, other: other,
    ],
)
def test_a_damaged_file_or_that_of_others_is_none(
    asked: Callable[..., Config], tmp_path: Path, spoil: Callable[[bytes, bytes], bytes]
) -> None:
    assert asked("a=1").seed == 0
    (file,) = files(tmp_path)
    assert asked("a=2").seed == 1
    (other,) = set(files(tmp_path)) - {file}
    file.write_bytes(spoil(file.read_bytes(), other.read_bytes()))
    assert asked("a=1").seed == 2
    assert asked("a=1").seed == 2


@pytest.mark.parametrize(
    "plain", ["[]", "7", '{"is": "places.Path", "has": {}}', '{"is": "study.Config", "has": {}}']
)
def test_a_text_of_another_form_is_none(
    asked: Callable[..., Config], tmp_path: Path, plain: str
) -> None:
    asked()
    (file,) = files(tmp_path)
    kept_module.write_sealed(file, f'["{file.stem}", {plain}]'.encode())
    assert asked().seed == 1


def test_a_folder_that_cannot_be_written_is_in_nobodys_way(
    asked: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path / "file"))
    assert asked().seed == 0
    assert asked().seed == 1


def test_the_oldest_go(
    asked: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "MOST_KEPT", 2)
    for number in range(3):
        asked(f"a={number}")
        for age, file in enumerate(files(tmp_path)):
            os.utime(file, (age + number, age + number))
    assert len(files(tmp_path)) == 2


def test_a_store_beside_the_pages_is_passed_over(
    asked: Callable[..., Config], own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = own.parents[1] / "outputs"
    (store / "store" / "v1").mkdir(parents=True)
    (store / "artefacts").mkdir()
    monkeypatch.setattr("unidet.conf.__path__", [])
    monkeypatch.setattr(
        "unidet.config.pages.MOST_ENTRIES", 5
    )  # rpn, its page, outputs and two in it
    assert asked(searching(own)).seed == 0
    for number in range(5):
        (store / "artefacts" / str(number)).write_text("")
    assert asked(searching(own)).seed == 0
    (own.parent / "more").write_text("")
    assert asked(searching(own)).seed == 1, "a folder of too many files: composed every time"
    assert asked(searching(own)).seed == 2
