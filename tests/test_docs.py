"""Pages for readers: every page is listed, every link leads somewhere."""

from __future__ import annotations

import ast
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


def test_the_page_of_places_names_files_that_exist() -> None:
    page = (DOCS / "architecture.md").read_text()
    quoted = re.findall(r"`((?:unidet|pipelines|conf)/[\w/.]*)`", page)
    assert len(quoted) > 30
    assert [place for place in quoted if not (ROOT / place).exists()] == []


def test_pages_on_adding_something_fit_on_a_screen() -> None:
    lengths = {page.name: len(page.read_text().splitlines()) for page in DOCS.glob("add-*.md")}
    assert lengths
    assert [page for page, lines in lengths.items() if lines > 60] == []


def test_code_on_pages_imports_what_exists() -> None:
    absent = set()
    for page in DOCS.glob("add-*.md"):
        for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("unidet."):
                    absent |= {
                        name.name for name in node.names if not defines(node.module, name.name)
                    }
    assert absent == {"Grid", "GridConfig"}  # the reader's own


def defines(module: str, name: str) -> bool:
    """Whether a module of ours has a class, function or value of this name."""
    file = module.removeprefix("unidet.").replace(".", "/") + ".py"
    sources = [path.read_text() for path in (ROOT / file, ROOT / "unidet" / file) if path.is_file()]
    return any(re.search(rf"^(class |def )?{name}\b", text, re.MULTILINE) for text in sources)
