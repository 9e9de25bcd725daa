"""Code in the key: an edit that can change a result changes the digest, a cosmetic one does not."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unidet.store import code
from unidet.store.code import Sources
from unidet.store.hashing import digest
from unidet.store.syntax import read_source

CHECKOUT = Path(__file__).resolve().parents[2]
House = Callable[..., str]

FILES = {
    "__init__.py": '"""A house."""\n',
    "stage.py": (
        '"""A stage."""\n'
        "from __future__ import annotations\n"
        "import math\n"
        "from toyhouse.ops import boxes\n"
        "from toyhouse.records import Box\n"
        "def run(box: Box) -> float:\n"
        '    """Area, in pixels."""\n'
        "    from toyhouse import late\n"
        "    return late.twice(boxes.area(box))\n"
    ),
    "ops/__init__.py": "",
    "ops/boxes.py": "from . import base\ndef area(box):\n    return base.width(box) * box.h\n",
    "ops/base.py": "def width(box):\n    return box.w\n",
    "ops/unused.py": "def never(): ...\n",
    "records.py": "class Box:\n    w = 2\n    h = 3\n",
    "late.py": "def twice(x):\n    return 2 * x\n",
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """house("ops/base.py", old, new): digest of `toyhouse.stage` with that edit."""
    count = 0

    def build(path: str = "", old: str = "", new: str = "") -> str:
        nonlocal count
        count += 1
        top = tmp_path / str(count)
        for name, text in FILES.items():
            (top / "toyhouse" / name).parent.mkdir(parents=True, exist_ok=True)
            assert name != path or old in text
            text = text.replace(old, new, 1) if name == path else text
            (top / "toyhouse" / name).write_text(text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(top))
            importlib.invalidate_caches()
            found = digest(Sources().closure("toyhouse.stage"))
        sys.modules.pop("toyhouse", None)
        return found

    yield build
    sys.modules.pop("toyhouse", None)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("stage.py", "def run", "# a comment\n\n\ndef run"),
        ("stage.py", "Area, in pixels.", "The area of a box, in square pixels."),
        ("stage.py", '    """Area, in pixels."""\n', ""),
        ("stage.py", "    return late", "        \n    return  late"),
        (
            "stage.py",
            "import math\nfrom toyhouse.ops import boxes\nfrom toyhouse.records import Box",
            "from toyhouse.records import Box\nfrom toyhouse.ops import boxes\nimport math",
        ),
        (
            "stage.py",
            "import math\n",
            "import math\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from toyhouse.ops.unused import never\n",
        ),
        ("stage.py", "import math\n", "from collections.abc import Iterator\nimport math\n"),
        ("ops/boxes.py", "base.width(box) * box.h", "(base.width(box)\n        * box.h)"),
        ("ops/boxes.py", "def area(box):", "def area(box):\n    'In pixels.'"),
        ("ops/unused.py", "never", "ever"),
        ("__init__.py", "A house.", "Another text."),
    ],
)
def test_a_cosmetic_edit_changes_nothing(house: House, path: str, old: str, new: str) -> None:
    assert house(path, old, new) == house()


def test_what_only_a_type_checker_runs_does_not_count(house: House) -> None:
    guarded = "import typing as t\nif t.TYPE_CHECKING:\n    import numpy\nelse:\n    numpy = 0\n"
    plain = "import typing as t\nnumpy = 0\n"
    assert house("stage.py", "import math\n", guarded) == house("stage.py", "import math\n", plain)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("stage.py", "late.twice(", "(1 + "),
        ("ops/base.py", "return box.w", "return box.w + 1"),
        ("ops/boxes.py", "* box.h", "+ box.h"),
        ("records.py", "w = 2", "w = 2.0"),
        ("late.py", "2 * x", "x * 2"),
        ("late.py", "2 * x", "'2' * x"),
        ("ops/__init__.py", "", "setting = 1\n"),
        ("__init__.py", '"""A house."""\n', '"""A house."""\nsetting = 1\n'),
        ("stage.py", "def run", "from toyhouse.ops import unused\ndef run"),
        ("stage.py", "import math", "import math as m"),
    ],
)
def test_an_edit_that_a_stage_can_reach_changes_it(
    house: House, path: str, old: str, new: str
) -> None:
    assert house(path, old, new) != house()


@pytest.fixture
def toyhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / "toyhouse" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "toyhouse" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path / "toyhouse"
    sys.modules.pop("toyhouse", None)


def test_the_closure_holds_what_is_imported_and_nothing_else(toyhouse: Path) -> None:
    assert list(Sources().closure("toyhouse.stage")) == [
        "toyhouse",
        "toyhouse.late",
        "toyhouse.ops",
        "toyhouse.ops.base",
        "toyhouse.ops.boxes",
        "toyhouse.records",
        "toyhouse.stage",
    ]
    assert not {"toyhouse.stage", "toyhouse.ops.boxes", "toyhouse.late"} & set(sys.modules)


def test_the_packages_around_a_module_belong_to_it(toyhouse: Path) -> None:
    (toyhouse / "another.py").write_text("import toyhouse.ops.unused\n")
    assert list(Sources().closure("toyhouse.another")) == [
        "toyhouse",
        "toyhouse.another",
        "toyhouse.ops",
        "toyhouse.ops.unused",
    ]


def test_an_excluded_module_is_not_followed(toyhouse: Path) -> None:
    left = Sources().closure("toyhouse.stage", exclude=("toyhouse.ops.boxes", "toyhouse.late"))
    assert list(left) == ["toyhouse", "toyhouse.ops", "toyhouse.records", "toyhouse.stage"]


def test_an_excluded_package_is_left_out_with_all_it_holds(toyhouse: Path) -> None:
    left = Sources().closure("toyhouse.stage", exclude=("toyhouse.ops", "toyhouse.late"))
    assert list(left) == ["toyhouse", "toyhouse.records", "toyhouse.stage"]


@pytest.mark.parametrize(
    "statement",
    [
        "import toyhouse.ops.unused",
        "import toyhouse.ops.unused as u",
        "from toyhouse.ops.unused import never",
        "from toyhouse.ops.unused import *",
        "from toyhouse.ops import unused",
        "from .ops import unused",
        "from .ops.unused import never",
        "def later():\n    try:\n        from .ops import unused\n    finally:\n        pass",
        "import importlib\nx = importlib.import_module('toyhouse.ops.unused')",
    ],
)
def test_every_way_to_import_is_followed(toyhouse: Path, statement: str) -> None:
    (toyhouse / "another.py").write_text(statement + "\n")
    assert "toyhouse.ops.unused" in Sources().closure("toyhouse.another")


def test_a_module_without_source_is_named(toyhouse: Path) -> None:
    (toyhouse / "another.py").write_text("import toyhouse.nothing\n")
    with pytest.raises(ModuleNotFoundError, match=r"toyhouse\.nothing has no source file"):
        Sources().closure("toyhouse.another")


def test_a_long_run_keeps_the_code_it_has_read(toyhouse: Path) -> None:
    sources = Sources()
    before = digest(sources.closure("toyhouse.stage"))
    (toyhouse / "late.py").write_text("def twice(x):\n    return 3 * x\n")
    assert digest(sources.closure("toyhouse.stage")) == before
    assert digest(Sources().closure("toyhouse.stage")) != before


def test_the_cache_is_used_and_notices_edits(
    toyhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def counting(text: bytes, name: str, is_package: bool):  # type: ignore[no-untyped-def]
        parsed.append(name)
        return read_source(text, name, is_package)

    monkeypatch.setattr(code, "read_source", counting)
    monkeypatch.setattr(code, "SETTLED_NS", -(10**12))
    cache = tmp_path / "cache"
    before = digest(Sources(cache).closure("toyhouse.stage"))
    assert len(parsed) == 7

    def in_a_new_process() -> str:
        parsed.clear()
        return digest(Sources(cache).closure("toyhouse.stage"))

    assert in_a_new_process() == before
    assert parsed == []
    (toyhouse / "late.py").write_text("def twice(x):\n    return 3 * x\n")
    assert in_a_new_process() != before
    assert parsed == ["toyhouse.late"]
    edited, state = in_a_new_process(), (toyhouse / "late.py").stat()
    (toyhouse / "late.py").write_text("def twice(x):\n    return 4 * x\n")
    os.utime(toyhouse / "late.py", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert in_a_new_process() != edited
    cache.write_bytes(b"damaged\n{}")
    in_a_new_process()
    assert len(parsed) == 7


def test_the_normalized_text_never_changes() -> None:
    """Written by hand, so that every Python and every version of this package must agree."""
    source = b'"""Doc."""\nimport sys\nfrom unidet.b import c\n\nx = f"a{y!r:>{w}}" "b"  # why\n'
    words = (
        "(Module|.body|[|from unidet.b import c as None|import sys as None|"
        "(Assign|.targets|[|(Name|.id|'x'|)|]|.value|(JoinedStr|.values|["
        "|(Constant|.value|'a'|)"
        "|(FormattedValue|.value|(Name|.id|'y'|)|.conversion|114|.format_spec|(JoinedStr|.values|["
        "|(Constant|.value|'>'|)|(FormattedValue|.value|(Name|.id|'w'|)|.conversion|-1|)|]|)|)"
        "|(Constant|.value|'b'|)|]|)|)|]|)"
    ).replace("|", "\n")
    found = read_source(source, "unidet.a", is_package=False)
    assert found.digest == hashlib.sha256(words.encode()).hexdigest()
    assert found.imports == ("unidet.b",)
    assert found.perhaps == ("unidet.b.c",)


def copy_as_in_a_wheel(folder: Path) -> None:
    """The sources as a wheel has them: `conf` and `pipelines` lie inside the package."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "unidet", folder / "unidet", ignore=ignore)
    for name in ("conf", "pipelines"):
        if not (folder / "unidet" / name).exists():
            shutil.copytree(CHECKOUT / name, folder / "unidet" / name, ignore=ignore)


def test_a_wheel_and_a_checkout_give_the_same_digest(tmp_path: Path) -> None:
    copy_as_in_a_wheel(tmp_path)
    script = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import unidet.store.code as code;"
        "assert code.__file__.startswith(sys.argv[1]), code.__file__;"
        "print(json.dumps(code.Sources().closure('unidet.pipelines.engine.stage')));"
        "assert 'unidet.pipelines' not in sys.modules"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == Sources().closure("unidet.pipelines.engine.stage")


# --- edits of this project's own code ------------------------------------------------------------


def own_sources() -> list[Path]:
    return sorted([*(CHECKOUT / "unidet").rglob("*.py"), *(CHECKOUT / "pipelines").rglob("*.py")])


def read(text: str) -> str:
    return read_source(text.encode(), "unidet.some.module", is_package=False).digest


@pytest.mark.slow
def test_reformatting_any_module_changes_nothing() -> None:
    """Python's own unparser writes every line anew, without comments; docstrings go as well."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for path in own_sources():
        text = path.read_text()
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, documented) and ast.get_docstring(node) and len(node.body) > 1:
                del node.body[0]
        assert read(ast.unparse(tree)) == read(text), path


def test_an_edit_in_any_function_changes_its_module() -> None:
    """One more statement in the last function of every module, and one changed constant."""
    edited = 0
    for path in own_sources():
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        if functions:
            before = read(ast.unparse(tree))
            functions[-1].body.append(ast.parse("edited = 1").body[0])
            assert read(ast.unparse(tree)) != before, path
            edited += 1
    assert edited > 100


def test_edits_reach_just_the_stages_that_run_the_code(tmp_path: Path) -> None:
    """Digests of stages in a copy of this project, before and after edits of its files."""
    copy_as_in_a_wheel(tmp_path)
    script = (
        "import sys, json; sys.path.insert(0, sys.argv[1])\n"
        "from unidet.store.code import Sources\n"
        "from unidet.config.compose import compose\n"
        "from unidet.pipelines.engine.graph import STAGES\n"
        "stages = ('data', 'rpn', 'proposals', 'clip_embeddings', 'roi', 'lvis_eval')\n"
        "roots = {s: (STAGES[s].run.__module__, *STAGES[s].code(compose([]))) for s in stages}\n"
        "sources = Sources()\n"
        "print(json.dumps({s: [sources.closure(root) for root in roots[s]] for s in stages}))"
    )

    def digests() -> dict[str, str]:
        arguments = [sys.executable, "-c", script, str(tmp_path)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path)
        return {stage: digest(modules) for stage, modules in json.loads(done.stdout).items()}

    before = digests()

    def changed(path: str, old: str, new: str) -> set[str]:
        """By one more edit."""
        nonlocal before
        text = (tmp_path / "unidet" / path).read_text()
        assert old in text
        (tmp_path / "unidet" / path).write_text(text.replace(old, new, 1))
        earlier, before = before, digests()
        return {stage for stage in before if before[stage] != earlier[stage]}

    assert changed("ops/nms.py", "import jittor", "# why not\nimport jittor") == set()
    assert changed("ops/nms.py", "\ndef ", "\nEDITED = 1\n\n\ndef ") == {"rpn", "proposals"}
    assert changed("evaluation/lvis.py", "\ndef ", "\nEDITED = 1\n\n\ndef ") == {"lvis_eval"}
