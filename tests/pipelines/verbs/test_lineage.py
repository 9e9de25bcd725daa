"""`lineage` goes back to the raw files, as text, Graphviz and an image."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from studies import built

from unidet.config.study import Config
from unidet.pipelines.engine import graph
from unidet.report import style
from unidet.store.hashing import key_of
from unidet.store.record import with_checksum
from unidet.store.store import Store

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]
Answer = Callable[..., Any]


def test_lineage_goes_down_to_the_raw_files(
    tiny: Make, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    raw = tmp_path / "raw.txt"
    raw.write_bytes(b"hello")
    data = replace(graph.STAGES["data"], files=lambda config, name: {"annotations": raw})
    monkeypatch.setitem(graph.STAGES, "data", data)
    done = built(tiny("stage=roi"))
    nodes = answer("lineage", "roi")
    assert [node["stage"] for node in nodes] == ["roi", "proposals", "rpn", "data"]
    assert nodes[0]["inputs"] == {
        "proposals": done["proposals"].action.key,
        "data": done["data"].action.key,
    }
    # printf hello | sha256sum
    sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert nodes[3]["files"] == [{"name": "annotations", "digest": sha256, "path": str(raw)}]
    text = command("lineage", "roi")[1]
    assert "← annotations: sha256 2cf24dba5fb0" in text
    assert done["data"].action.host in text
    assert re.search(r"together .* of computing, .* in 4 artefacts", text)
    assert len(re.findall(r"commit [0-9a-f]{12}|no git checkout", text)) == 4
    assert len(re.findall(r"^  by .*", text, re.MULTILINE)) == 1  # one command has made all four


def assert_arrows_touch_boxes(what: str, command: Command, folder: Path) -> None:
    kept: list[Figure] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(style, "save", lambda figure, *_, **__: kept.append(figure))
        assert command("lineage", what, "--picture", str(folder / "x.png"))[0] == 0
    (axes,) = kept[0].axes
    to_data = axes.transData.inverted()
    extents = [
        to_data.transform(box.get_bbox_patch().get_window_extent())
        for box in axes.texts
        if box.get_bbox_patch()
    ]
    tops, bottoms = ({round(extent[row][1], 6) for extent in extents} for row in (1, 0))
    assert {round(line.get_ydata()[0], 6) for line in axes.lines} <= tops
    arrows = [text for text in axes.texts if isinstance(text, Annotation)]
    assert arrows
    assert {round(arrow.xy[1], 6) for arrow in arrows} <= bottoms


def test_lineage_as_dot_and_as_a_picture(tiny: Make, command: Command, tmp_path: Path) -> None:
    done = built(tiny("stage=rpn"))
    data, rpn = (done[name].action.key for name in ("data", "rpn"))
    picture = tmp_path / "lineage.svg"
    assert command("lineage", "rpn", "--picture", str(picture))[0] == 0
    assert b"<svg" in picture.read_bytes()
    assert command("lineage", "rpn", "--picture", str(tmp_path / "x.bmp"))[0] == 2
    assert_arrows_touch_boxes("rpn", command, tmp_path)
    rows = command("lineage", "rpn", "--dot")[1].splitlines()
    assert rows[0] == "digraph lineage {"
    assert f'  "{data}" -> "{rpn}";' in rows


def test_a_foreign_host_in_a_picture(
    tiny: Make, command: Command, store: Store, tmp_path: Path
) -> None:
    """Matplotlib takes what stands between two dollars for TeX, and fails where it is none."""
    path = store.layout.record(built(tiny("stage=rpn"))["rpn"].action.key)
    values = json.loads(path.read_bytes()) | {"host": "a$\\frac$\x1b[31m"}
    path.chmod(0o600)
    path.write_bytes(with_checksum(values))
    picture = tmp_path / "lineage.svg"
    assert command("lineage", "rpn", "--picture", str(picture))[0] == 0
    assert "a$\\frac$ [31m" in picture.read_text()


def test_a_lost_record_is_said(tiny: Make, command: Command, store: Store) -> None:
    done = built(tiny("stage=rpn"))
    store.layout.record(done["data"].action.key).unlink()
    text = command("lineage", done["rpn"].action.key)[1]
    assert "data: its record is no longer in the store" in text


def test_control_codes_from_a_record_do_not_reach_the_terminal(
    tiny: Make, command: Command, store: Store
) -> None:
    done = built(tiny("stage=data"))
    path = store.layout.record(done["data"].action.key)
    values = json.loads(path.read_bytes())
    host = 'a\\" evil=1 \x1b[31m'
    path.write_bytes(
        with_checksum({**values, "command": "unidet \x1b]0;owned\x07 stage=data", "host": host})
    )
    text = command("lineage", "data")[1]
    assert "\x1b" not in text
    assert "owned" in text
    dot = command("lineage", "data", "--dot")[1]
    assert "\x1b" not in dot
    assert r"a\\\" evil=1 ?[31m" in dot  # the quotation mark is a part of the string
    preimage = {**values["preimage"], "env": {"\x1b[31mred": "\u202e1.0"}}
    key = key_of(preimage)
    store.layout.record(key).parent.mkdir(exist_ok=True)
    store.layout.record(key).write_bytes(
        with_checksum({**values, "preimage": preimage, "key": key})
    )
    path.unlink()
    text = command("why", "data")[1]
    assert "env ?[31mred ?1.0 → absent" in text
