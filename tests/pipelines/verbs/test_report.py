"""`unidet report`: provenance on a page, and several studies side by side."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from commands import complaint_of
from reports import evaluated, study

from unidet.pipelines.engine import engine
from unidet.report.html.study_page import study_page
from unidet.report.study import save_study
from unidet.store.hashing import key_of
from unidet.store.record import Action
from unidet.store.store import Store

Publish = Callable[..., Action]

NUMBERS = io.BytesIO()
np.save(NUMBERS, np.zeros(32))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are written to the current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def publish(store: Store) -> Publish:
    """A report in a store, made from an evaluation with that γ on that many images.

    Files by a name of `instead` have that content.
    """

    def make(
        gamma: float,
        seed: int = 0,
        pictures: int = 3,
        store: Store = store,
        instead: Mapping[str, bytes] = MappingProxyType({}),
        weights: str = "",
    ) -> Action:
        digests = np.arange(pictures, dtype=np.uint8)[:, None] * np.ones(32, np.uint8)
        (store.root / "made").mkdir(parents=True, exist_ok=True)
        np.save(store.root / "made" / "digests.npy", digests)
        files = {"digests.npy": (store.root / "made" / "digests.npy").read_bytes()}
        files |= {name: instead[name] for name in files if name in instead}
        data = _put(store, "data", "val", {"data": {"source": {"seed": pictures}}}, {}, files)
        upstream = _put(
            store,
            "lvis_eval",
            "val",
            {"calibration": {"gamma": gamma}},
            {},
            {"x": f"{gamma}{weights}".encode()},
            {"weights": weights} if weights else {},
        )
        made = study(evaluated(seed=seed))
        folder = store.root / "made"
        save_study(made, folder / "study.json")
        files = {"study.json": (folder / "study.json").read_bytes()}
        files["report.html"] = study_page(made, {}).encode()
        files |= {name: instead[name] for name in files if name in instead}
        config = {"report": {"examples": 6}}
        inputs = {"data[val]": data, "lvis_eval[val]": upstream}
        return _put(store, "report", "", config, inputs, files)

    return make


def _put(
    store: Store,
    stage: str,
    name: str,
    config: dict[str, Any],
    inputs: dict[str, Action],
    files: dict[str, bytes],
    raw: Mapping[str, str] = MappingProxyType({}),
) -> Action:
    outputs = {label: action.output for label, action in inputs.items()}
    preimage = {"stage": stage, "config": config, "inputs": outputs, "files": dict(raw)}
    key = key_of(preimage)
    draft = store.draft(key)
    for file, content in files.items():
        (draft / file).write_bytes(content)
    return store.publish(key, preimage, stage, draft, name=name, started=0.0, inputs=inputs)


def test_a_page_with_its_provenance(publish: Publish, command: Callable, store: Store) -> None:
    action = publish(0.3)
    status, text = command("report", action.output[:12])
    assert status == 0
    assert re.fullmatch(r"report\.html, \d+\.\d kB\n", text)
    page = Path("report.html").read_text()
    assert action.host in page
    assert "of computing" in page
    assert "lvis_eval[val]: calibration" in page  # which the tiny study has not
    assert page != (store.folder(action) / "report.html").read_text()


def test_a_page_that_was_written_is_known_again(
    publish: Publish, command: Callable, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Under any name; a comparison, a page of another store and other files are called so."""
    digits = [publish(0.3 * seed, seed=seed).output[:12] for seed in (0, 1)]
    status, text = command("report", digits[0], "--out", "\x1b[2J.html")
    assert (status, text[:9]) == (0, "?[2J.html")
    assert command("report", digits[0], "--out", "r.html")[0] == 0
    assert command("report", "r.html", "--out", "again.html")[0] == 0
    assert Path("again.html").read_bytes() == Path("r.html").read_bytes()
    assert command("report", *digits, "--out", "both.html")[0] == 0
    said = complaint_of("report", capsys, "both.html", "--out", "x.html")
    assert f"both.html: compares several reports; name one of them: {', '.join(digits)}" in said
    elsewhere = f"store.root={tmp_path / 'empty'}"
    said = complaint_of("report", capsys, "r.html", elsewhere, "--out", "x.html")
    assert (
        f"r.html: shows the report {digits[0]}, which store {tmp_path / 'empty'} does not" in said
    )
    Path("plot.html").write_text("<html>")
    said = complaint_of("report", capsys, "plot.html", "--out", "x.html")
    assert "plot.html: shows no report that store" in said
    assert not Path("x.html").exists()


def test_the_experiment_of_a_folder(
    publish: Publish, command: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`-C DIR` names it; where DIR is gone, nothing is compared."""
    study = tmp_path / "own" / "experiment" / "study.yaml"
    study.parent.mkdir(parents=True)
    study.write_text("# @package _global_\ndefaults: [toy, _self_]\nexperiment: mine\n")
    monkeypatch.setattr("sys.argv", ["unidet", "-C", str(tmp_path / "own"), "stage=report"])
    digits = publish(0.3).output[:12]
    assert command("report", digits)[0] == 0
    page = Path("report.html").read_text()
    assert "differ from those of experiment mine" in page
    assert "<title>Detection study mine</title>" in page
    assert "<h1>Detection study mine</h1>" in page
    study.unlink()
    assert command("report", digits)[0] == 0
    assert "the experiment is not at hand" in Path("report.html").read_text()


def test_nothing_that_a_record_names_is_imported(
    publish: Publish, command: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A record may be a stranger's, and Hydra imports the module of a search path."""
    (tmp_path / "stranger.py").write_text("raise SystemExit('was run')")
    monkeypatch.syspath_prepend(tmp_path)
    hostile = ("hydra.searchpath=[pkg://stranger]", f"experiment={'a' * 9000}")
    monkeypatch.setattr("sys.argv", ["unidet", "stage=report", *hostile])
    assert command("report", publish(0.3).output[:12])[0] == 0


def test_studies_are_compared_and_named_by_what_differs(
    publish: Publish, command: Callable
) -> None:
    keys = [publish(0.0).key[:12], publish(0.3, seed=1).key[:12]]
    assert command("report", *keys, "--out", "compared.html")[0] == 0
    page = Path("compared.html").read_text()
    assert "gamma=0.0, gamma=0.3; differences are from gamma=0.0." in page
    assert command("report", *keys, "--names", "plain", "tuned")[0] == 0
    assert "plain, tuned; differences are from plain." in Path("report.html").read_text()


def test_other_weights_are_a_difference_too(publish: Publish, command: Callable) -> None:
    """Their files are no values of the configuration."""
    keys = [publish(0.3, seed, weights=weights).key[:12] for seed, weights in enumerate(("", "f0"))]
    assert command("report", *keys)[0] == 0
    page = Path("report.html").read_text()
    assert "Values that differ between the studies" in page
    assert "lvis_eval[val]: weights" in page
    assert "weights f0" in page


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("--names", "one"), "--names: 1 name for 2 reports; give each its own"),
        (("--out", "page.pdf"), "page.pdf: the name must end in .html"),
    ],
)
def test_what_does_not_fit(
    more: tuple[str, ...], complaint: str, publish: Publish, command: Callable
) -> None:
    keys = [publish(0.0).key[:12], publish(0.3, seed=1).key[:12]]
    assert command("report", *keys, *more) == (2, f"unidet: {complaint}\n")
    assert list(Path.cwd().iterdir()) == []


def test_the_same_report_twice_and_another_stage(
    publish: Publish, command: Callable, store: Store
) -> None:
    action = publish(0.0)
    (upstream,) = store.actions("lvis_eval")
    digits = action.output[:12]
    status, text = command("report", digits, digits)
    assert (status, text) == (
        2,
        f"unidet: report {digits} is given twice; name different ones\n",
    )
    status, text = command("report", upstream.output[:12])
    assert status == 2
    assert "is an artefact of lvis_eval[val]; name one of stage report" in text


def own_study(folder: Path) -> Store:
    """A study as `unidet new` makes it, and its store."""
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "study.yaml").write_text(
        "# @package _global_\ndefaults: [toy, _self_]\n"
        f"experiment: {folder.name}\nstore: {{root: {folder / 'outputs'}}}\n"
    )
    return Store(folder / "outputs")


def test_studies_with_a_store_each_are_compared(
    publish: Publish, command: Callable, tmp_path: Path
) -> None:
    """By their folders, their stores or their pages; what they evaluate may not be the same."""
    folders = [tmp_path / name for name in ("birds", "fish", "bees")]
    for number, folder in enumerate(folders):
        publish(0.3, seed=number, pictures=3 + number // 2, store=own_study(folder))
    birds, fish, bees = map(str, folders)
    assert command("report", birds, fish)[0] == 0
    page = Path("report.html").read_text()
    assert "birds, fish; differences are from birds." in page
    assert "does not compare" not in page
    assert command("report", f"{birds}/outputs", bees)[0] == 0
    page = Path("report.html").read_text()
    assert (
        "The set val of bees is not that of birds, so AP does not compare: "
        "other images: 4 instead of 3, 3 in both."
    ) in page
    rows = re.findall(r'<td class="diff">(.*?)</td>', page)
    assert rows
    assert set(rows) == {"–"}
    assert command("report", bees)[0] == 0
    (artefact,) = (folders[2] / "outputs" / "artefacts").glob("report-*")
    again = Path("report.html").read_bytes()
    assert command("report", str(artefact))[0] == 0
    assert Path("report.html").read_bytes() == again


def test_a_study_without_a_report(command: Callable, tmp_path: Path) -> None:
    store = own_study(tmp_path / "birds")
    assert command("report", str(tmp_path / "birds")) == (
        2,
        f"unidet: {tmp_path / 'birds'}: its store {store.root} holds no report; "
        "run its stage=report\n",
    )


def test_a_run_leaves_the_page_beside_the_artefacts(
    publish: Publish, tiny: Callable, store: Store
) -> None:
    from unidet.pipelines.wiring.report_provenance import deliver

    action = publish(0.0)
    place = deliver(tiny(), engine.open_store(tiny()), action)
    assert place == store.root / "reports" / f"toy-{action.output[:12]}.html"
    assert "of computing" in place.read_text()
    again = place.read_bytes()
    assert deliver(tiny(), store, action).read_bytes() == again


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("digests.npy", b"", "not a readable .npy array"),
        ("digests.npy", b"\x80\x04N.", "not a readable .npy array"),
        ("digests.npy", b"\x93NUMPY\1\0\x10\0{'descr': '((((\n", "not a readable .npy array"),
        ("digests.npy", NUMBERS.getvalue(), "contains no digests of images"),
        ("study.json", b"[" * 100_000, "no figures of a report"),
    ],
)
def test_what_another_store_holds_may_be_anything(
    publish: Publish, command: Callable, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    own, other = publish(0.0).output[:12], tmp_path / "other"
    publish(0.3, pictures=4, store=Store(other), instead={name: content})
    status, text = command("report", own, str(other))
    assert (status, text.count("\n"), says in text) == (2, 1, True)


@pytest.mark.parametrize(
    ("pattern", "value"), [(r'"images": \d+', '"images": -3'), (r'"AP": [\d.]+', '"AP": NaN')]
)
def test_figures_of_another_store_may_be_no_figures(
    publish: Publish, command: Callable, store: Store, tmp_path: Path, pattern: str, value: str
) -> None:
    own, other = publish(0.0), tmp_path / "other"
    figures = (store.folder(own) / "study.json").read_text()
    forged, count = re.subn(pattern, value, figures, count=1)
    assert count == 1
    publish(0.3, store=Store(other), instead={"study.json": forged.encode()})
    status, text = command("report", own.output[:12], str(other))
    assert (status, text.count("\n"), "no figures of a report" in text) == (2, 1, True)


def test_a_page_of_another_store_may_be_no_text(
    publish: Publish, command: Callable, tmp_path: Path
) -> None:
    publish(0.3, store=Store(tmp_path / "other"), instead={"report.html": b"\xff"})
    status, text = command("report", str(tmp_path / "other"))
    assert (status, text.count("\n"), "is not a page" in text) == (2, 1, True)


@pytest.mark.parametrize("reports", [(), ("report",)])
def test_names_without_reports_to_compare_are_refused(
    reports: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = complaint_of("report", capsys, *reports, "--names", "a")
    assert "--names are those of several reports" in complaint
