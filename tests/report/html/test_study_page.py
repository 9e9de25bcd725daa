"""The page as text: whole, escaped, the same bytes every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from reports import HOSTILE, PROVENANCE_MADE, evaluated, galleries, renamed, study

from unidet.errors import UserError
from unidet.report.html.comparison_page import Compared, Different, comparison_page
from unidet.report.html.provenance import fragment, with_provenance
from unidet.report.html.render import PROVENANCE
from unidet.report.html.study_page import study_page

VOID = {"meta", "link", "img", "input"}


class Elements(HTMLParser):
    """Every element with its attributes; tags must close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


def pages() -> dict[str, str]:
    small, hostile = study(), study(evaluated(HOSTILE, images=40))
    closed = study(evaluated(style="coco", closed=True))
    compared = [
        Compared(name, item, PROVENANCE_MADE)
        for name, item in (("one", small), ("<two>", hostile), ("three", renamed(small, "other")))
    ]
    return {
        "study": with_provenance(study_page(small, {0: galleries()}), PROVENANCE_MADE),
        "hostile": study_page(hostile, {0: galleries()}),
        "closed": study_page(closed, {}),
        "compared": comparison_page(compared, [Different("a.b", ["1", "<2>", "3"])]),
    }


@pytest.fixture(scope="module", params=["study", "hostile", "closed", "compared"])
def page(request: pytest.FixtureRequest) -> str:
    return pages()[request.param]


def test_tags_close_and_ids_are_unique(page: str) -> None:
    elements = Elements(page)
    ids = Counter(attributes["id"] for _, attributes in elements.found if "id" in attributes)
    assert max(ids.values()) == 1, ids.most_common(1)
    targets = {a["href"][1:] for a in elements.all("a")}
    labels = {a["aria-labelledby"] for _, a in elements.found if "aria-labelledby" in a}
    assert targets | labels <= set(ids)


def test_every_picture_says_what_it_shows(page: str) -> None:
    elements = Elements(page)
    drawings = [a for a in elements.all("div") if a.get("role") == "img"]
    assert all(len(drawing["aria-label"]) > 20 for drawing in drawings)
    assert len(
        [
            a
            for a in elements.all("svg")
            if "viewbox" in a and a["viewbox"] not in ("0 0 28 10", "0 0 10 10")
        ]
    ) <= len(drawings)
    pictures = [a for a in elements.all("img") if "src" in a]
    assert all(picture["alt"] for picture in pictures)


def test_nothing_is_loaded_and_one_script_runs(page: str) -> None:
    elements = Elements(page)
    assert len(elements.all("script")) == 1
    sources = [a.get("src", a.get("href", "")) for _, a in elements.found]
    assert all(source.startswith(("data:", "#")) or not source for source in sources)
    (policy,) = [a["content"] for a in elements.all("meta") if "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert not any(key.startswith("on") for _, a in elements.found for key in a)


def test_names_are_text() -> None:
    page = pages()["hostile"]
    texts = Elements(page).texts
    for name in HOSTILE[:5]:
        assert name in texts
    assert page.count(PROVENANCE) == 1  # the place for it, and no name that looks like it


def test_the_same_study_is_the_same_page() -> None:
    assert study_page(study(), {0: galleries()}) == study_page(study(), {0: galleries()})


def test_undefined_is_a_dash() -> None:
    page = pages()["study"]
    assert "−1.000" not in page
    assert "-1.000" not in page
    assert "nan" not in Elements(page).texts


def test_headlines_of_a_closed_set_ask_for_no_novelty() -> None:
    page = pages()["closed"]
    assert "AP novel</dt><dd>" not in page
    assert "COCO AP, closed set" in page


def test_provenance_takes_its_place_once() -> None:
    bare = study_page(study(), {})
    full = with_provenance(bare, PROVENANCE_MADE)
    assert "unidet stage=report &#39;data.root=&lt;x&gt;&#39;" in full
    assert "&lt;0.3&gt;" in full
    assert PROVENANCE not in full
    with pytest.raises(UserError, match="earlier version"):
        with_provenance(full, PROVENANCE_MADE)


def test_fine_tuning_is_told_as_changes_from_before() -> None:
    elements = Elements(study_page(study(), {}))
    texts = [text for text in elements.texts if text.strip()]
    first = texts.index("Before and after fine-tuning")
    (end,) = [place for place, text in enumerate(texts) if place > first and text == "val, plain"]
    cells = texts[end : end + 7]
    assert cells == ["val, plain", "0.200", "+0.190", "0.125", "−0.275", "–", "–"]


def test_one_value_differs_and_two_differ() -> None:
    assert "1 differs from that of experiment toy" in fragment(PROVENANCE_MADE)
    two = replace(PROVENANCE_MADE, values=[*(PROVENANCE_MADE.values or ())] * 2)
    assert "2 differ from those of experiment toy" in fragment(two)


def test_dashed_boxes_are_spoken_of_where_there_are_some() -> None:
    spoken = "dashed boxes are of novel categories"
    assert spoken in study_page(study(), {0: galleries()})
    closed = study(evaluated(style="coco", closed=True))
    assert spoken not in study_page(closed, {0: galleries()})
