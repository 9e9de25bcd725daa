"""The pages in headless Chromium: no complaint, no request, no overflow; sorted, filtered, seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, browser
from reports import HOSTILE, PROVENANCE_MADE, evaluated, galleries, study

from unidet.report.charts.svg import plain
from unidet.report.html.comparison_page import Compared, comparison_page
from unidet.report.html.provenance import with_provenance
from unidet.report.html.study_page import study_page

WIDTHS = (390, 768, 1280, 2560)
MOST_BYTES, MOST_SECONDS = 15_000_000, 2.0
TOO_WIDE = """[...document.querySelectorAll("body *")].filter(
    (part) => part.getBoundingClientRect().right > innerWidth + 1 && !part.closest("dialog, .skip")
).map((part) => part.outerHTML.slice(0, 120))"""
CELLS = """(table, place) => [...document.querySelectorAll(`#${table} tbody tr`)].map(
    (row) => row.cells[place].textContent)"""
FIRST_NAMES = """[...document.querySelectorAll("#set-1-table tbody tr:not([hidden])")]
    .slice(0, 3).map((row) => row.cells[0].textContent)"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    large = [f"category {n:04d}" for n in range(1203)]
    hostile = study(evaluated(HOSTILE, images=40))
    texts = {
        "study": with_provenance(study_page(study(), {0: galleries()}), PROVENANCE_MADE),
        "hostile": with_provenance(study_page(hostile, {0: galleries()}), PROVENANCE_MADE),
        "large": study_page(
            study(evaluated(large, images=2000), evaluated(large, images=500, seed=1)),
            {0: galleries(pairs=3, side=640), 1: galleries(pairs=3, side=640)},
        ),
        "compared": comparison_page(
            [
                Compared("one", study(), PROVENANCE_MADE),
                Compared("<two>", hostile, PROVENANCE_MADE),
            ],
            [],
        ),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.mark.parametrize(
    "name", ["study", "hostile", pytest.param("large", marks=pytest.mark.slow), "compared"]
)
def test_no_complaint_no_request_no_overflow(tab: Page, pages: dict[str, Path], name: str) -> None:
    tab.complaints.clear()
    tab.requests.clear()
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            tab.open(pages[name], width, scheme=scheme)
            assert tab.ask("document.documentElement.scrollWidth") <= width
            assert tab.ask(TOO_WIDE) == []
    tab.ask("document.querySelectorAll('details').forEach((part) => part.open = true)")
    tab.resize(390)
    assert tab.ask("document.documentElement.scrollWidth") <= 390
    assert tab.complaints == []
    assert tab.requests == []


def test_a_name_runs_nothing(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["hostile"])
    assert tab.ask("document.scripts.length") == 1
    assert tab.ask("document.querySelectorAll('img[src=x], main style').length") == 0
    assert set(tab.ask(FIRST_NAMES)) <= set(map(plain, HOSTILE))


def test_the_table_sorts_by_pointer_and_by_key(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["large"])
    head = "document.querySelector('#set-1-table th[data-key=name]')"
    tab.ask(f"{head}.firstElementChild.click()")
    assert tab.ask(FIRST_NAMES) == ["category 0000", "category 0001", "category 0002"]
    assert tab.ask(f"{head}.getAttribute('aria-sort')") == "ascending"
    tab.ask(f"{head}.firstElementChild.focus()")
    tab.press("Enter", 13)
    assert tab.ask(FIRST_NAMES) == ["category 1202", "category 1201", "category 1200"]
    tab.ask("document.querySelector('#set-1-table th[data-key=boxes] button').click()")
    boxes = tab.ask(f"({CELLS})('set-1-table', 5)")
    counts = [int(text.replace(",", "")) for text in boxes]
    assert counts == sorted(counts, reverse=True)


def test_undefined_ones_come_last(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["large"])
    for _ in range(2):
        tab.ask("document.querySelector('#set-2-table th[data-key=AP] button').click()")
        texts = tab.ask(f"({CELLS})('set-2-table', 1)")
        first = texts.index("–")
        assert set(texts[first:]) == {"–"}


def test_the_table_filters(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["large"])
    script = """(name, novelty) => {
        const form = document.querySelector("form[data-table=set-1-table]");
        form.querySelector("[data-column=name]").value = name;
        form.querySelector("[data-column=novelty]").value = novelty;
        form.dispatchEvent(new Event("input"));
        return form.querySelector("output").textContent;
    }"""
    assert tab.ask(f"({script})('', '')") == "1,203 of 1,203"
    assert tab.ask(f"({script})('000', '')") == "11 of 1,203"  # 0000 to 0009, and 1000
    assert tab.ask(f"({script})('CATEGORY 000', 'novel')") == "3 of 1,203"
    assert set(tab.ask(FIRST_NAMES)) == {f"category 000{n}" for n in (2, 5, 8)}


def test_a_picture_opens_and_closes(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["study"])
    tab.ask("document.querySelector('.enlarge').focus()")
    tab.press("Enter", 13)
    assert tab.ask("document.getElementById('large').open") is True
    assert tab.ask("document.querySelector('#large img').alt") == "Annotated: cat."
    tab.press("Escape", 27)
    assert tab.ask("document.getElementById('large').open") is False


def test_the_theme_changes(tab: Page, pages: dict[str, Path]) -> None:
    tab.open(pages["study"])
    paper = "getComputedStyle(document.body).backgroundColor"
    before = tab.ask(paper)
    button = "document.getElementById('theme')"
    shown = []
    for _ in range(3):
        tab.ask(f"{button}.click()")
        shown.append((tab.ask(f"{button}.textContent"), tab.ask(paper)))
    names = [name for name, _ in shown]
    assert names == ["Theme: light", "Theme: dark", "Theme: system"]
    assert shown[0][1] == shown[2][1] == before != shown[1][1]


def test_a_large_study_is_small_and_quick(tab: Page, pages: dict[str, Path]) -> None:
    """1,203 categories twice, and images that are noise."""
    assert pages["large"].stat().st_size <= MOST_BYTES
    tab.open(pages["study"])
    before = tab.busy()
    tab.open(pages["large"])
    tab.ask("document.querySelector('#set-1-table th[data-key=name] button').click()")
    assert tab.ask(FIRST_NAMES) == ["category 0000", "category 0001", "category 0002"]
    assert 0.05 < tab.busy() - before <= MOST_SECONDS
