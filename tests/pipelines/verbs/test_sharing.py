"""`push`, `fetch`, `pull`, `export`, `import` and `verify --repair`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from studies import built

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.store.gc_plan import plan
from unidet.store.record import with_checksum
from unidet.store.store import Store

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]


def elsewhere(tmp_path: Path) -> str:
    """Another, empty store, for the same study."""
    return f"store.root={tmp_path / 'elsewhere'}"


def test_a_run_looks_at_the_remote_before_it_computes(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    done = built(tiny("stage=rpn"))
    assert "2 artefacts pushed" in command("push", "--remote", remote)[1]
    assert (
        "0 artefacts pushed (0 B), 2 were there already" in command("push", f"remote={remote}")[1]
    )
    again = built(tiny("stage=rpn", f"remote={remote}", elsewhere(tmp_path)))
    assert {name: one.how for name, one in again.items()} == {"data": "fetched", "rpn": "fetched"}
    assert again["rpn"].action == done["rpn"].action
    third = built(tiny("stage=proposals", f"remote={remote}"))
    assert third["proposals"].how == "ran"


def test_what_the_remote_holds_wrongly_is_named_and_computed(
    tiny: Make, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = tmp_path / "remote"
    built(tiny("stage=data"))
    command("push", "--remote", str(remote))
    (blob,) = (remote / "store/v1/blobs").rglob("?" * 64)
    blob.chmod(0o644)
    blob.write_bytes(b"x" * blob.stat().st_size)
    done = built(tiny("stage=data", f"remote={remote}", elsewhere(tmp_path)))
    assert done["data"].how == "ran"
    assert "its content does not have this hash" in capsys.readouterr().err


def test_upstream_require_is_content_with_the_remote(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    built(tiny("stage=data"))
    command("push", "--remote", remote)
    done = built(tiny("stage=rpn", "upstream=require", f"remote={remote}", elsewhere(tmp_path)))
    assert {name: one.how for name, one in done.items()} == {"data": "fetched", "rpn": "ran"}


def test_a_remote_that_cannot_be_reached_stops_a_run(tiny: Make, command: Command) -> None:
    with pytest.raises(UserError, match="remote nonsense://x: no store can be"):
        built(tiny("stage=data", "remote=nonsense://x"))
    assert command("push") == (
        2,
        "unidet: no remote is given; add --remote URL (a folder, sftp://…) or remote=URL\n",
    )


def test_a_run_notes_once_that_there_is_no_store_at_the_remote(
    tiny: Make, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = tmp_path / "no" / "such"
    done = built(tiny("stage=rpn", f"remote={remote}"))
    assert {one.how for one in done.values()} == {"ran"}
    note = f"note: remote {remote}: no store is there, so everything is computed; correct the"
    assert capsys.readouterr().err.count(note) == 1
    assert not remote.exists()
    command("push", "--remote", str(remote))
    built(tiny("stage=rpn", f"remote={remote}", elsewhere(tmp_path)))
    assert "note: remote" not in capsys.readouterr().err


def test_pull_makes_folders_and_fetch_does_not(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    built(tiny("stage=roi"))
    command("push", "rpn", "--remote", remote)
    artefacts = tmp_path / "elsewhere" / "artefacts"
    assert command("fetch", "rpn", "--remote", remote, elsewhere(tmp_path))[0] == 0
    assert not artefacts.exists()
    assert command("pull", "rpn", "--remote", remote, elsewhere(tmp_path))[0] == 0
    assert sorted(path.name.split("-")[0] for path in artefacts.iterdir()) == ["data", "rpn"]
    status, text = command("pull", "roi", "--remote", remote, elsewhere(tmp_path))
    assert status == 1
    assert "proposals: not at the remote" in text
    assert "unidet why proposals" in " ".join(text.split())
    assert "roi: an input of it is nowhere" in text


def test_what_is_damaged_at_the_remote_is_not_called_absent(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    built(tiny("stage=data"))
    command("push", "--remote", str(remote))
    for record in (remote / "store" / "v1" / "actions").glob("*/*.json"):
        record.write_text("")
    status, text = command("fetch", "data", "--remote", str(remote), elsewhere(tmp_path))
    assert status == 1
    said = "".join(text.split())  # wherever its lines are folded
    assert "refusedactions/" in said
    assert "notattheremote" not in said


def test_why_compares_with_what_others_made_elsewhere(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    """What `fetch` says to do where a remote lacks an artefact leads to the reason."""
    remote = str(tmp_path / "remote")
    built(tiny("stage=rpn"))
    command("push", "--remote", remote)
    mine = ("rpn.training.steps=7", elsewhere(tmp_path))
    assert command("fetch", "rpn", "--remote", remote, *mine)[0] == 1
    assert command("fetch", "--all", "--remote", remote, *mine)[0] == 0
    status, text = command("why", "rpn", *mine)
    assert status == 0
    assert "rpn.training.steps" in text


def test_a_fetch_asks_for_what_is_here_already(
    tiny: Make, command: Command, store: Store, tmp_path: Path
) -> None:
    """So a clean-up keeps that, not what was built after it."""
    remote = str(tmp_path / "remote")
    _, other = (built(tiny("stage=data", f"seed={seed}"))["data"] for seed in (1, 2))
    command("push", "--remote", remote)
    assert command("fetch", "data", "--remote", remote, "seed=1")[0] == 0
    assert [drop.action.key for drop in plan(store, keep_last=1).drops] == [other.action.key]


def test_pull_brings_stages_beside_the_report_too(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    built(tiny("stage=coco_eval"))
    command("push", "--remote", remote)
    assert command("fetch", "coco_eval", "--remote", remote, elsewhere(tmp_path))[0] == 0
    done = built(tiny("stage=coco_eval", elsewhere(tmp_path)))
    assert {one.how for one in done.values()} == {"cached"}


def test_export_and_import(tiny: Make, command: Command, tmp_path: Path) -> None:
    built(tiny("stage=roi"))
    folder = tmp_path / "exported"
    (folder / "store").mkdir(parents=True)  # by one that was killed at its second step
    assert command("export", str(folder), "rpn")[0] == 0
    assert command("export", str(folder), "stage=rpn")[0] == 0  # what is there already
    status, text = command("import", str(folder), elsewhere(tmp_path))
    assert (status, text.splitlines()[0][:21]) == (0, "2 artefacts imported ")
    again = built(tiny("stage=rpn", elsewhere(tmp_path)))
    assert {one.how for one in again.values()} == {"cached"}


def test_a_folder_that_is_no_export(tiny: Make, command: Command, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    built(tiny("stage=data"))
    assert "contains other files" in command("export", str(tmp_path / "full"), "data")[1]
    assert "was not made by unidet export" in command("import", str(tmp_path / "full"))[1]
    assert command("import", str(tmp_path / "absent"))[0] == 2


def test_what_an_import_refuses_is_named(tiny: Make, command: Command, tmp_path: Path) -> None:
    built(tiny("stage=rpn"))
    folder = tmp_path / "exported"
    command("export", str(folder), "rpn")
    record = next((folder / "store/v1/actions").rglob("*.json"))
    values = json.loads(record.read_bytes())
    values["files"]["../../value"] = values["files"].pop("value")
    record.write_bytes(with_checksum(values))
    status, text = command("import", str(folder), elsewhere(tmp_path))
    assert status == 1
    assert "'../../value' is not a file name inside an artefact" in " ".join(text.split())


def test_what_no_repair_touches_is_said_once_to_be_moved_by_hand(
    tiny: Make, command: Command, store: Store
) -> None:
    built(tiny("stage=data"))
    assert "by hand" not in command("verify")[1]
    for name in ("notes.txt", "more.txt"):
        (store.layout.blobs / name).write_text("mine")
    for arguments in (["verify"], ["verify", "--repair"]):
        status, text = command(*arguments)
        assert status == 1
        said = " ".join(text.split())
        assert said.count("no repair touches it; move it by hand out of store/v1") == 1
    assert (store.layout.blobs / "notes.txt").read_text() == "mine"


def test_verify_repairs_and_says_how(
    tiny: Make, command: Command, tmp_path: Path, store: Store
) -> None:
    remote = str(tmp_path / "remote")
    action = built(tiny("stage=data"))["data"].action
    command("push", "--remote", remote)
    (file,) = action.files.values()
    blob = store.layout.blob(file.sha256)
    blob.unlink()
    status, text = command("verify")
    assert status == 1
    assert f"missing    blobs/sha256/{file.sha256[:2]}/{file.sha256[:12]}…" in text
    status, text = command("verify", "--repair", "--remote", remote)
    assert status == 0
    assert "brought back from" in text
    assert command("verify") == (0, "1 blob, 1 record: 0 problems\n")
    blob.unlink()
    (tmp_path / "remote" / blob.relative_to(store.root)).unlink()
    status, text = command("verify", "--repair", "--remote", remote)
    assert status == 1
    said = f"{file.sha256}: the content that a record names is missing"
    assert said.replace(" ", "") in "".join(text.split())  # folded anywhere
