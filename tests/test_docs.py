"""Pages for readers: every page is listed, every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    """The page's links to files; those to other hosts are not followed."""
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if "://" not in target:
            yield target


def anchors(page: Path) -> set[str]:
    """What a heading can be linked by: its words, lower case, joined by hyphens."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def test_the_index_lists_every_page_with_a_line_of_its_own() -> None:
    listed = re.findall(r"^- \[(.+?)\]\((.+?)\): \S.*$", (DOCS / "index.md").read_text(), re.M)
    assert all(name == target for name, target in listed)
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert sorted(target for _, target in listed) == sorted(pages - {"index.md"})


def test_every_link_resolves() -> None:
    broken = []
    for page in PAGES:
        for target in links(page):
            path, _, heading = target.partition("#")
            file = (page.parent / path) if path else page
            if not file.exists() or (heading and heading not in anchors(file)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_links_are_found() -> None:
    assert "docs/store.md" in links(ROOT / "README.md")
    assert "threads" in anchors(DOCS / "training.md")
