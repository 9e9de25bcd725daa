"""The house rules of CONTRIBUTING.md, read off the source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"unidet": ROOT / "unidet", "unidet.conf": ROOT / "conf"} | {
    "unidet.pipelines": ROOT / "pipelines"
}
PLAIN = {"unidet.errors", "unidet.records"}
# Package -> what of ours it may import, besides itself.
ALLOWED = {
    "unidet.errors": set(),
    "unidet.records": set(),
    "unidet.console": {"unidet.errors"},
    "unidet.config": {"unidet.errors"},
    "unidet.conf": set(),
    "unidet.backend": {"unidet.errors"},
    "unidet.store": PLAIN,
    "unidet.ops": PLAIN,
    "unidet.evaluation": PLAIN,
    "unidet.models": PLAIN | {"unidet.ops"},
    "unidet.weights": PLAIN | {"unidet.models"},
    "unidet.data": PLAIN | {"unidet.store.hashing"},
    "unidet.training": PLAIN
    | {"unidet.models", "unidet.ops", "unidet.data", "unidet.config", "unidet.console.interrupt"},
    "unidet.report": PLAIN | {"unidet.data", "unidet.evaluation"},
}
UNRESTRICTED = {"unidet", "unidet.__main__", "unidet.cli", "unidet.pipelines"}
WITHOUT_JITTOR = ("cli", "errors", "records")
WITHOUT_JITTOR_FOLDERS = (
    *("backend", "conf", "config", "console", "data", "evaluation", "pipelines", "store"),
)
# What running stages and verbs import inside their functions.
HELPERS_WITH_JITTOR = ("unidet.pipelines.wiring.training", "unidet.pipelines.traces.")


def modules() -> Iterator[tuple[str, Path]]:
    for prefix, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((prefix, *parts)).removesuffix(".__init__")
            yield name, path


MODULES = dict(modules())


def imports(path: Path) -> Iterator[str]:
    """Full names of everything imported anywhere in the file, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def package(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("module", MODULES)
def test_import_directions(module: str) -> None:
    if package(module) in UNRESTRICTED:
        return
    assert package(module) in ALLOWED, f"say in this file what {package(module)} may import"
    allowed = ALLOWED[package(module)] | {package(module)}
    for name in imports(MODULES[module]):
        if name.split(".")[0] == "unidet":
            inside = any(name == one or name.startswith(f"{one}.") for one in allowed)
            assert inside, f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_hydra_only_at_the_border(module: str) -> None:
    if module in ("unidet.cli", "unidet.config.compose"):
        return
    for name in imports(MODULES[module]):
        assert name.split(".")[0] not in ("hydra", "omegaconf"), module


@pytest.mark.parametrize("module", MODULES)
def test_torch_nowhere(module: str) -> None:
    for name in imports(MODULES[module]):
        assert name.split(".")[0] not in ("torch", "torchvision", "mmdet", "mmcv"), module


PICKLES = ("pickle", "marshal", "shelve", "dill", "cloudpickle")


@pytest.mark.parametrize("module", MODULES)
def test_nothing_that_was_read_is_executed(module: str) -> None:
    """So whatever lies in a store, in a remote or in an imported folder stays data.

    Only `weights` knows pickles, and reads them by a class of its own that calls nothing.
    """
    tree = ast.parse(MODULES[module].read_text())
    if package(module) != "unidet.weights":
        for name in imports(MODULES[module]):
            assert name.split(".")[0] not in PICKLES, f"{module} imports {name}"
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        assert called not in ("eval", "exec", "pickle.load", "pickle.loads"), module
        for keyword in call.keywords:
            allowed = keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"
            assert allowed, f"{module}: allow_pickle"


def test_a_package_imports_nothing_by_itself() -> None:
    """So that digests and `--help` stay small."""
    for module, path in MODULES.items():
        if path.name == "__init__.py":
            body = ast.parse(path.read_text()).body
            assert len(body) == 1, module
            assert ast.get_docstring(ast.parse(path.read_text())), module


def test_jittor_is_never_imported_by_what_must_start_fast() -> None:
    names = [
        name
        for name in MODULES
        if not name.startswith(HELPERS_WITH_JITTOR)
        and (parts := name.split("."))[1:]
        and (parts[1] in WITHOUT_JITTOR or parts[1] in WITHOUT_JITTOR_FOLDERS)
    ]
    script = "\n".join(
        [
            "import sys, importlib",
            "sys.modules['jittor'] = None",  # makes an import of it fail
            f"for name in ['unidet', *{names!r}]:",
            "    importlib.import_module(name)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_package_is_listed_for_the_wheel() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^packages = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert listed
    found = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")
    assert sorted(re.findall(r'"(.+?)"', listed.group(1))) == found
    for folder in {path.parent for path in MODULES.values()}:
        assert (folder / "__init__.py").is_file(), folder


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert block
    lines = [line.strip() for line in block.group(1).splitlines() if line.strip()]
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith('"'):
            name = line.split('"')[1].split("=")[0].split(";")[0]
            reasoned = "#" in line or before.startswith("#") or "onednn" in before
            assert reasoned, name
