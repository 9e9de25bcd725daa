"""The house rules of CONTRIBUTING.md, read off the source."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from longest import LONGEST

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"unidet": ROOT / "unidet", "unidet.conf": ROOT / "conf"} | {
    "unidet.pipelines": ROOT / "pipelines"
}
PLAIN = {
    *("unidet.counts", "unidet.errors", "unidet.records", "unidet.redaction"),
    "unidet.ops.numpy_boxes",
}
# Package -> what of ours it may import, besides itself.
ALLOWED = {
    "unidet.counts": set(),
    "unidet.errors": set(),
    "unidet.records": {"unidet.errors"},
    "unidet.redaction": set(),
    "unidet.console": {"unidet.errors", "unidet.redaction"},
    "unidet.config": PLAIN | {"unidet.conf", "unidet.store"},
    "unidet.conf": set(),
    "unidet.backend": {"unidet.errors", "unidet.config.places"},
    "unidet.store": PLAIN,
    "unidet.vocabularies": PLAIN,
    "unidet.ops": PLAIN | {"unidet.backend.library"},
    "unidet.evaluation": PLAIN | {"unidet.config.compat"},
    # mmdet's files are pickles, which `weights` alone can read without running them
    "unidet.formats": PLAIN
    | {"unidet.weights.read", "unidet.backend.library", "unidet.backend.toolchain"}
    | {"unidet.config.places"},
    # A network takes its settings as the schema types them, so that they are listed once.
    "unidet.models": PLAIN | {"unidet.ops", "unidet.config.networks"},
    "unidet.weights": PLAIN | {"unidet.models", "unidet.store.arrays", "unidet.store.disk"},
    "unidet.data": PLAIN
    | {"unidet.formats", "unidet.store.arrays", "unidet.store.hashing", "unidet.console.interrupt"}
    | {"unidet.store.stored_json"},
    "unidet.download": {"unidet.errors", "unidet.store.disk", "unidet.store.hashing"},
    "unidet.training": PLAIN
    | {"unidet.models", "unidet.ops", "unidet.data", "unidet.config", "unidet.console"}
    | {"unidet.store.arrays", "unidet.store.disk"},
    "unidet.export": PLAIN | {"unidet.models", "unidet.ops", "unidet.store.disk"},
    "unidet.report": PLAIN | {"unidet.data", "unidet.evaluation", "unidet.store.disk"},
    "unidet.pictures": PLAIN
    | {
        "unidet.console",
        "unidet.formats",
        "unidet.report",
        "unidet.store.disk",
        "unidet.store.hashing",
        "unidet.store.plain_json",
    }
    | {"unidet.data.pillow_files", "unidet.data.jpeg_data", "unidet.data.seen"}
    | {"unidet.data.file_kinds"}
    | {"unidet.vocabularies"},
}
HYDRA = {
    "unidet.cli",
    "unidet.config.combinations",
    "unidet.config.compose",
    "unidet.config.overrides",
}
UNRESTRICTED = {"unidet", "unidet.__main__", "unidet.cli", "unidet.pipelines"}
WITHOUT_JITTOR = ("cli", "counts", "errors", "records", "redaction")
WITHOUT_JITTOR_FOLDERS = (
    *(
        "backend",
        "conf",
        "config",
        "console",
        "data",
        "download",
        "evaluation",
        "formats",
        "pictures",
        "pipelines",
        "store",
        "vocabularies",
    ),
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


def within(module: str, packages: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in packages)


def importers(*libraries: str) -> set[str]:
    """The modules that import any of these, anywhere."""
    return {
        module
        for module, path in MODULES.items()
        if any(name.split(".")[0] in libraries for name in imports(path))
    }


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def test_import_directions() -> None:
    packages = {package(module) for module in MODULES}
    unlisted = packages - UNRESTRICTED - set(ALLOWED)
    assert not unlisted, "say in this file what they may import"
    assert set(ALLOWED) <= packages, "rules for packages that are no more"
    offenders = []
    for module, path in MODULES.items():
        if package(module) not in UNRESTRICTED:
            allowed = ALLOWED[package(module)] | {package(module)}
            ours = (name for name in imports(path) if name.split(".")[0] == "unidet")
            offenders += [f"{module} imports {name}" for name in ours if not within(name, allowed)]
    assert offenders == []


def test_hydra_only_at_the_border() -> None:
    assert importers("hydra", "omegaconf") - HYDRA == set()


def test_torch_nowhere() -> None:
    assert importers("torch", "torchvision", "mmdet", "mmcv") == set()


PICKLES = ("pickle", "marshal", "shelve", "dill", "cloudpickle")
EXECUTING = ("eval", "exec", "pickle.load", "pickle.loads")


def test_nothing_that_was_read_is_executed() -> None:
    """So whatever lies in a store, in a remote or in an imported folder stays data.

    Only `weights` knows pickles, and reads them by a class of its own that calls nothing.
    """
    readers = {module for module in MODULES if package(module) == "unidet.weights"}
    assert importers(*PICKLES) - readers == set()
    offenders = []
    for module, path in MODULES.items():
        for call in calls(path):
            flags = {flag.arg: ast.unparse(flag.value) for flag in call.keywords}
            if ast.unparse(call.func) in EXECUTING or flags.get("allow_pickle", "False") != "False":
                offenders.append(f"{module}:{call.lineno}: {ast.unparse(call)}")
    assert offenders == []


def test_a_package_imports_nothing_by_itself() -> None:
    """So that digests and `--help` stay small; `unidet` itself has lazy attributes."""
    packages = {
        module: ast.parse(path.read_text())
        for module, path in MODULES.items()
        if path.name == "__init__.py" and module != "unidet"
    }
    assert packages
    assert [
        module
        for module, tree in packages.items()
        if len(tree.body) != 1 or not ast.get_docstring(tree)
    ] == []


def loaded(script: str, *libraries: str) -> list[str]:
    """Which of the libraries are loaded after a script has run."""
    look = f"print([name for name in {libraries!r} if name in sys.modules])"
    command = [sys.executable, "-c", f"import sys\n{script}\n{look}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.splitlines()[-1])


def test_the_top_package_loads_nothing_heavy() -> None:
    heavy = ("jittor", "numpy", "hydra", "omegaconf", "pydantic", "pandas", "PIL")
    assert loaded("import unidet; assert unidet.__version__; dir(unidet)", *heavy) == []


def test_the_public_names_load_neither_jittor_nor_hydra() -> None:
    public = "import unidet; unidet.load, unidet.open_study, unidet.Detections"
    assert loaded(public, "jittor", "hydra", "omegaconf") == []


def test_commands_that_only_look_load_no_arrays_and_compose_once(tmp_path: Path) -> None:
    """What declares stages and proposal networks imports nothing that computes."""
    heavy = ("numpy", "PIL", "pandas", "filelock", "tqdm", "jittor")
    composers = ("hydra", "omegaconf", "pydantic", "yaml")
    networks = "from unidet.pipelines.proposers import cln, detr, nanodet_plus, rpn, rtdetr"
    status = (
        "from unidet.cli import main\n"
        f"try:\n    main(['status', 'store.root={tmp_path}'])\n"
        "except SystemExit as stop:\n    assert stop.code == 0"
    )
    assert loaded(f"{networks}\n{status}", *heavy) == []
    assert loaded(status, *heavy, *composers) == []


def test_jittor_is_never_imported_by_what_must_start_fast() -> None:
    names = [
        name
        for name in MODULES
        if not name.startswith(HELPERS_WITH_JITTOR)
        and (name != "unidet.store.s3" or importlib.util.find_spec("s3fs"))
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
    folders = {path.parent for path in MODULES.values()}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_dependency_has_its_reason() -> None:
    """At the end of its line, or in a comment above it and its like."""
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert block
    lines = [line.strip() for line in block.group(1).splitlines() if line.strip()]
    bare, reasoned = [], False
    for line in lines:
        if line.startswith("#"):
            reasoned = True
        elif "  # " in line:
            reasoned = False
        elif not reasoned:
            bare.append(line)
    assert len(lines) > 10
    assert bare == []


def test_the_files_that_are_said_to_take_longest_are_there() -> None:
    """Of a file that moved, tests/longest.py would say nothing any more."""
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
