"""The wheel and an editable install, each used from outside the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGED = (".py", ".yaml", ".typed", ".txt", ".gz", ".html", ".css", ".js")
INSTALL = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
LOOK = """
import sys
import unidet
from unidet.cli import compose
config = compose(["experiment=toy", "seed=7"])
assert config.seed == 7
assert not any(name.startswith("jittor") for name in sys.modules), "jittor was imported"
print(unidet.__file__)
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("unidet", "conf", "pipelines"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", *INSTALL, "--wheel-dir", str(folder), str(sources))
    (built,) = folder.glob("unidet-*.whl")
    return built


def run(*arguments: str, path: Path | None = None) -> str:
    """Runs this Python outside the checkout.

    With `path`, `.pth` files are not processed (-S), so that no installation of this checkout is
    found; dependencies come from where this process has them.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    flags = []
    if path is not None:
        elsewhere = [entry for entry in sys.path if entry and Path(entry) != ROOT]
        environment["PYTHONPATH"] = os.pathsep.join([str(path), *elsewhere])
        flags = ["-S"]
    done = subprocess.run(
        [sys.executable, *flags, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=path or Path(sys.prefix),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_everything(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for prefix, folder in (
        ("unidet", ROOT / "unidet"),
        ("unidet/conf", ROOT / "conf"),
        ("unidet/pipelines", ROOT / "pipelines"),
    ):
        for path in folder.rglob("*"):
            if path.suffix in PACKAGED:
                assert f"{prefix}/{path.relative_to(folder).as_posix()}" in inside
    assert "unidet/py.typed" in inside
    names = {Path(name).name for name in inside}
    assert {"LICENSE", "NOTICE", "entry_points.txt"} <= names
    assert not any(name.startswith("tests") for name in inside)


def test_the_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    run("-m", "pip", "install", *INSTALL, "--target", str(tmp_path), str(wheel))
    assert "stage=" in run(str(tmp_path / "bin" / "unidet"), "--help", path=tmp_path)
    assert Path(run("-c", LOOK, path=tmp_path).strip()).is_relative_to(tmp_path)


def test_an_editable_install_works(sources: Path, tmp_path: Path) -> None:
    run("-m", "pip", "install", *INSTALL, "--target", str(tmp_path), "--editable", str(sources))
    look = f"import site; site.addsitedir({str(tmp_path)!r})\n{LOOK}"
    assert Path(run("-c", look, path=tmp_path).strip()).is_relative_to(sources)
    script = f"import site; site.addsitedir({str(tmp_path)!r})\nfrom unidet.cli import main; main()"
    assert "stage=" in run("-c", script, "--help", path=tmp_path)


def test_the_citation_names_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()
