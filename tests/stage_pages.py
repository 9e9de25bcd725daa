"""The pages of docs/stages/: their tables, and whether an artefact is what its page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "docs/stages"
_OUTPUTS, _INPUTS, _SETTINGS = "Outputs", "Inputs", "Settings"


@dataclass
class File:
    """What a page says of a file: whether every artefact has it, and array -> (dtype, shape)."""

    is_always: bool
    arrays: dict[str, tuple[str, str]] = field(default_factory=dict)


def pages() -> dict[str, str]:
    """Stage -> the text of its page."""
    return {page.stem: page.read_text() for page in sorted(FOLDER.glob("*.md"))}


def files_of(stage: str, node: str) -> dict[str, File]:
    """Pattern of a path -> what the page says an artefact leaves there."""
    text = pages()[stage]
    own = re.search(rf"^### `{re.escape(node)}`$(.*?)^#", text, re.M | re.S)
    files: dict[str, File] = {}
    for name, array, dtype, shape, _ in _rows(own[1] if own else _section(text, _OUTPUTS)):
        if name:
            pattern, remark = re.fullmatch(r"`(\S+)`(.*)", name).groups()  # type: ignore[union-attr]
            files[pattern] = File(not remark)
        if dtype:
            files[pattern].arrays[array.strip("`")] = (dtype, shape)
    return files


def taken(stage: str) -> set[str]:
    """The stages from which the page says that this one takes something."""
    return {cell.strip("`") for cell, *_ in _rows(_section(pages()[stage], _INPUTS))}


def settings(stage: str) -> set[str]:
    """The keys of the configuration that the page lists."""
    section = _section(pages()[stage], _SETTINGS)
    return {key for cell, *_ in _rows(section) for key in re.findall(r"`([\w.]+)`", cell)}


def departures(stage: str, node: str, folder: Path) -> list[str]:
    """Where an artefact is not what the stage's page says, a line each."""
    files = files_of(stage, node)
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    lines = [
        f"{node}: lacks {pattern}"
        for pattern, file in files.items()
        if file.is_always and not any(fnmatch(name, pattern) for name in found)
    ]
    for name in sorted(found):
        pattern = next((pattern for pattern in files if fnmatch(name, pattern)), None)
        if pattern is None:
            lines.append(f"{node}: {name} is on no page")
        elif name.endswith((".npz", ".npy")):
            arrays = _arrays(folder / name)
            lines += [f"{node}: {name}: {line}" for line in _differences(files[pattern], arrays)]
    return lines


def _differences(file: File, arrays: dict[str, np.ndarray]) -> Iterator[str]:
    if {*file.arrays} != {*arrays}:
        yield f"has {sorted(arrays)}, on the page {sorted(file.arrays)}"
        return
    sizes: dict[str, int] = {}
    for name, (dtype, shape) in file.arrays.items():
        array = arrays[name]
        kind = "str" if array.dtype.kind == "U" else str(array.dtype)
        if kind != dtype:
            yield f"{name} is {kind}, on the page {dtype}"
        sides = [side.strip() for side in shape.strip("()").split(",") if side.strip()]
        if len(sides) != array.ndim or not all(
            _fits(side, size, sizes) for side, size in zip(sides, array.shape, strict=True)
        ):
            yield f"{name} has shape {array.shape}, on the page {shape} with {sizes}"


def _fits(side: str, size: int, sizes: dict[str, int]) -> bool:
    """Whether a side is the number, or the letter's size, perhaps plus one; letters are learned."""
    if side.isdecimal():
        return size == int(side)
    letter, _, more = side.partition("+")
    size -= int(more or 0)
    return sizes.setdefault(letter.strip(), size) == size


def _arrays(path: Path) -> dict[str, np.ndarray]:
    content = np.load(path)
    return {"": content} if path.suffix == ".npy" else {name: content[name] for name in content}


def _section(text: str, title: str) -> str:
    return re.split(r"^#+ ", text.split(f"\n## {title}\n")[1], flags=re.M)[0]


def _rows(section: str) -> Iterator[list[str]]:
    """Cells of the rows below the head of each table."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]
