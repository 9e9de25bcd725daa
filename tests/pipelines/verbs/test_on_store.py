"""The verbs as a person uses them: command in, lines and status out; stages do almost nothing."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unidet import cli
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine import engine
from unidet.store.store import Store

Make = Callable[..., Config]
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    tiny: Make,
    code: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """command("lineage", "roi"): exit status, and what was printed, on the tiny study's store."""

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        seen = capsys.readouterr()
        if not {"--json", "--dot"} & {*arguments}:
            assert all(len(line) <= 80 for line in seen.out.splitlines()), seen.out
        assert isinstance(stop.value.code, int)
        return stop.value.code, seen.out + seen.err

    monkeypatch.setattr(cli, "compose", lambda given: tiny(*given))
    monkeypatch.setitem(sys.modules, "jittor", None)  # makes an import of it fail
    return run


def as_json(answer: tuple[int, str]) -> Any:
    status, text = answer
    assert status == 0, text
    return json.loads(text)


def store_of(tiny: Make) -> Store:
    return engine.open_store(tiny())


# --- status ------------------------------------------------------------------------------------


def test_status_check_exits_with_3_unless_all_is_fresh(tiny: Make, command: Command) -> None:
    assert command("status", "--check")[0] == 3
    engine.bring_up_to_date(tiny("stage=report"))
    assert command("status", "--check")[0] == 0
    assert command("status", "--check", "roi.training.steps=9")[0] == 3
    assert command("status", "roi.training.steps=9")[0] == 0


# --- naming artefacts --------------------------------------------------------------------------


def test_an_artefact_is_named_by_stage_path_or_digest(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    roi = engine.bring_up_to_date(tiny("stage=roi"))["roi"]
    copy = tmp_path / "copy.txt"
    copy.write_bytes((roi.folder / "value").read_bytes())
    (file,) = roi.action.files.values()
    names = ["roi", str(roi.folder), str(roi.folder / "value"), str(copy)]
    digests = [roi.action.output, roi.action.output[:8], roi.action.key[:8], file.sha256[:10]]
    for name in names + digests:
        assert as_json(command("lineage", name, "--json"))[0]["key"] == roi.action.key, name


def test_what_names_nothing_is_one_line(tiny: Make, command: Command, tmp_path: Path) -> None:
    engine.bring_up_to_date(tiny("stage=data"))
    for name in ("0123456789", "nonsense", str(tmp_path)):
        status, text = command("lineage", name)
        assert status == 2
        assert "names no artefact" in text
    assert command("lineage", "roi") == (
        2,
        "unidet: roi is not built as configured now; run: unidet stage=roi\n",
    )


# --- lineage -----------------------------------------------------------------------------------


def test_lineage_goes_down_to_the_raw_files(
    tiny: Make, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "raw.txt"
    raw.write_bytes(b"hello")
    stages = engine.needed("data", tiny())
    object.__setattr__(stages[0], "files", lambda config: {"annotations": raw})
    done = engine.bring_up_to_date(tiny("stage=roi"))
    nodes = as_json(command("lineage", "roi", "--json"))
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


def test_lineage_as_dot_and_as_a_picture(tiny: Make, command: Command, tmp_path: Path) -> None:
    done = engine.bring_up_to_date(tiny("stage=rpn"))
    data, rpn = (done[name].action.key for name in ("data", "rpn"))
    picture = tmp_path / "lineage.svg"
    assert command("lineage", "rpn", "--picture", str(picture))[0] == 0
    assert b"<svg" in picture.read_bytes()
    assert command("lineage", "rpn", "--picture", str(tmp_path / "x.bmp"))[0] == 2
    rows = command("lineage", "rpn", "--dot")[1].splitlines()
    assert rows[0] == "digraph lineage {"
    assert f'  "{data}" -> "{rpn}";' in rows


def test_a_lost_record_is_said(tiny: Make, command: Command) -> None:
    done = engine.bring_up_to_date(tiny("stage=rpn"))
    store_of(tiny).layout.record(done["data"].action.key).unlink()
    text = command("lineage", done["rpn"].action.key)[1]
    assert "data: its record is no longer in the store" in text


def test_control_codes_from_a_record_do_not_reach_the_terminal(
    tiny: Make, command: Command
) -> None:
    done = engine.bring_up_to_date(tiny("stage=data"))
    path = store_of(tiny).layout.record(done["data"].action.key)
    values = json.loads(path.read_bytes())
    path.write_text(json.dumps({**values, "command": "unidet \x1b]0;owned\x07 stage=data"}))
    text = command("lineage", "data")[1]
    assert "\x1b" not in text
    assert "owned" in text


# --- pins --------------------------------------------------------------------------------------


def test_pins_are_listed_and_taken_away(tiny: Make, command: Command) -> None:
    rpn = engine.bring_up_to_date(tiny("stage=rpn"))["rpn"].action
    assert command("pin") == (0, "nothing is pinned\n")
    assert as_json(command("pin", "rpn", "--json"))["new"] is True
    assert as_json(command("pin", "rpn", "--json"))["new"] is False
    (one,) = as_json(command("pin", "--json"))
    assert (one["stage"], one["key"]) == ("rpn", rpn.key)
    assert "pinned" in command("lineage", "rpn")[1].splitlines()[0]
    assert command("unpin", "rpn")[0] == 0
    status, text = command("unpin", "rpn")
    assert (status, "is not pinned" in text) == (2, True)
    assert command("pin") == (0, "nothing is pinned\n")


# --- accept ------------------------------------------------------------------------------------


def test_accepted_code_reruns_nothing(tiny: Make, command: Command, code: dict[str, str]) -> None:
    engine.bring_up_to_date(tiny("stage=roi"))
    engine.bring_up_to_date(tiny("stage=rpn", "rpn.training.steps=9"))
    code["unidet.a"] = "rewritten"
    assert command("accept", "rpn")[1].startswith("unidet: rpn: its input data is not fresh")
    for stage in ("data", "rpn", "proposals", "roi"):
        assert command("accept", stage)[0] == 0
    done = engine.bring_up_to_date(tiny("stage=roi"))
    assert {one.how for one in done.values()} == {"cached"}
    # Under another configuration too.
    assert engine.bring_up_to_date(tiny("stage=rpn", "rpn.training.steps=9"))["rpn"].how == "cached"
    assert command("accept", "roi") == (0, "roi: fresh, nothing to accept\n")
    assert "accepted as equivalent" in command("why", "roi")[1]
    assert "accepted for code" in command("lineage", "roi")[1]
    assert "accepted for new code" in command("status")[1]


def test_code_may_be_accepted_again_and_again(
    tiny: Make, command: Command, code: dict[str, str]
) -> None:
    engine.bring_up_to_date(tiny("stage=data"))
    code["unidet.a"] = "second"
    assert command("accept", "data")[0] == 0
    engine.bring_up_to_date(tiny("stage=data", "seed=5"))  # an artefact of the second code
    code["unidet.a"] = "third"
    assert command("accept", "data", "seed=5")[0] == 0
    for seed in ("seed=0", "seed=5"):
        assert engine.bring_up_to_date(tiny("stage=data", seed))["data"].how == "cached"


def test_what_was_accepted_can_be_taken_back(
    tiny: Make, command: Command, code: dict[str, str]
) -> None:
    engine.bring_up_to_date(tiny("stage=data"))
    code["unidet.a"] = "wrong"
    assert command("accept", "data")[0] == 0
    assert command("accept", "data", "--revoke")[0] == 0
    assert command("accept", "data", "--revoke")[0] == 2
    assert engine.bring_up_to_date(tiny("stage=data"))["data"].how == "ran"


def test_only_a_change_of_code_can_be_accepted(
    tiny: Make, command: Command, code: dict[str, str]
) -> None:
    engine.bring_up_to_date(tiny("stage=rpn"))
    code["unidet.a"] = "rewritten"
    assert command("accept", "data")[0] == 0
    status, text = command("accept", "rpn", "rpn.network.alpha=0.9")
    assert status == 2
    assert "no artefact differs from it in nothing but its code" in text
    assert command("accept", "nothing")[0] == 2
    assert command("accept", "nothing", "--revoke")[0] == 2


# --- rm and gc ---------------------------------------------------------------------------------


def test_rm_removes_what_nothing_needs(tiny: Make, command: Command) -> None:
    done = engine.bring_up_to_date(tiny("stage=rpn"))
    status, text = command("rm", "data")
    assert status == 2
    assert f"stays: rpn {done['rpn'].action.output[:12]} was made from it" in text
    assert command("rm", "rpn")[0] == 0
    assert not done["rpn"].folder.exists()
    assert as_json(command("rm", "data", "--json"))["key"] == done["data"].action.key
    assert list(store_of(tiny).actions()) == []
    assert engine.bring_up_to_date(tiny("stage=rpn"))["rpn"].how == "ran"


def test_gc_tells_first_and_does_it_with_yes(tiny: Make, command: Command) -> None:
    engine.bring_up_to_date(tiny("stage=rpn", "seed=1"))
    engine.bring_up_to_date(tiny("stage=rpn", "seed=2"))
    status, text = command("gc", "--keep-last", "1")
    assert status == 0
    assert "2 artefacts go, 2 stay" in text
    assert text.endswith("nothing was done; add --yes to do it\n")
    assert len(list(store_of(tiny).actions())) == 4
    answer = as_json(command("gc", "--keep-last", "1", "--grace", "0", "--yes", "--json"))
    assert (answer["done"], answer["stay"], len(answer["dropped"])) == (True, 2, 2)
    assert answer["freed"] > 0
    assert len(list(store_of(tiny).actions())) == 2
    assert engine.bring_up_to_date(tiny("stage=rpn", "seed=2"))["rpn"].how == "cached"


def test_gc_says_when_pins_are_too_much(tiny: Make, command: Command) -> None:
    engine.bring_up_to_date(tiny("stage=rpn"))
    command("pin", "rpn")
    text = command("gc", "--max-bytes", "1B", "--keep-last", "0")[1]
    assert "0 artefacts go, 2 stay" in text
    assert "too much is left: pins" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--max-bytes", "50 bananas"), "--max-bytes: '50 bananas' is not a size; give one like"),
        (("--max-bytes", "-5GB"), "--max-bytes: '-5GB' is not a size"),
        (("--keep-last", "x"), "--keep-last: 'x' is not a number of artefacts"),
    ],
)
def test_bad_limits_are_one_line(command: Command, arguments: tuple[str, str], says: str) -> None:
    status, text = command("gc", f"{arguments[0]}={arguments[1]}")
    assert status == 2
    assert says in text


# --- remotes -----------------------------------------------------------------------------------


def elsewhere(tmp_path: Path) -> str:
    """Another, empty store, for the same study."""
    return f"store.root={tmp_path / 'elsewhere'}"


def test_a_run_looks_at_the_remote_before_it_computes(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    done = engine.bring_up_to_date(tiny("stage=rpn"))
    assert "2 artefacts pushed" in command("push", "--remote", remote)[1]
    assert (
        "0 artefacts pushed (0 B), 2 were there already" in command("push", f"remote={remote}")[1]
    )
    again = engine.bring_up_to_date(tiny("stage=rpn", f"remote={remote}", elsewhere(tmp_path)))
    assert {name: one.how for name, one in again.items()} == {"data": "fetched", "rpn": "fetched"}
    assert again["rpn"].action == done["rpn"].action
    third = engine.bring_up_to_date(tiny("stage=proposals", f"remote={remote}"))
    assert third["proposals"].how == "ran"


def test_what_the_remote_holds_wrongly_is_named_and_computed(
    tiny: Make, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote = tmp_path / "remote"
    engine.bring_up_to_date(tiny("stage=data"))
    command("push", "--remote", str(remote))
    (blob,) = (remote / "store/v1/blobs").rglob("?" * 64)
    blob.chmod(0o644)
    blob.write_bytes(b"x" * blob.stat().st_size)
    done = engine.bring_up_to_date(tiny("stage=data", f"remote={remote}", elsewhere(tmp_path)))
    assert done["data"].how == "ran"
    assert "its content does not have this hash" in capsys.readouterr().err


def test_upstream_require_is_content_with_the_remote(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    engine.bring_up_to_date(tiny("stage=data"))
    command("push", "--remote", remote)
    done = engine.bring_up_to_date(
        tiny("stage=rpn", "upstream=require", f"remote={remote}", elsewhere(tmp_path))
    )
    assert {name: one.how for name, one in done.items()} == {"data": "fetched", "rpn": "ran"}


def test_a_remote_that_cannot_be_reached_stops_a_run(tiny: Make, command: Command) -> None:
    with pytest.raises(UserError, match="remote nonsense://x: Protocol not known"):
        engine.bring_up_to_date(tiny("stage=data", "remote=nonsense://x"))
    assert command("push") == (
        2,
        "unidet: no remote is given; add --remote URL (a folder, sftp://…) or remote=URL\n",
    )


def test_pull_makes_folders_and_fetch_does_not(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    engine.bring_up_to_date(tiny("stage=roi"))
    command("push", "rpn", "--remote", remote)
    artefacts = tmp_path / "elsewhere" / "artefacts"
    assert command("fetch", "rpn", "--remote", remote, elsewhere(tmp_path))[0] == 0
    assert not artefacts.exists()
    assert command("pull", "rpn", "--remote", remote, elsewhere(tmp_path))[0] == 0
    assert sorted(path.name.split("-")[0] for path in artefacts.iterdir()) == ["data", "rpn"]
    status, text = command("pull", "roi", "--remote", remote, elsewhere(tmp_path))
    assert status == 1
    assert "proposals: not at the remote" in text
    assert "roi: an input of it is nowhere" in text


def test_pull_brings_stages_beside_the_report_too(
    tiny: Make, command: Command, tmp_path: Path
) -> None:
    remote = str(tmp_path / "remote")
    engine.bring_up_to_date(tiny("stage=coco_eval"))
    command("push", "--remote", remote)
    assert command("fetch", "coco_eval", "--remote", remote, elsewhere(tmp_path))[0] == 0
    done = engine.bring_up_to_date(tiny("stage=coco_eval", elsewhere(tmp_path)))
    assert {one.how for one in done.values()} == {"cached"}


def test_export_and_import(tiny: Make, command: Command, tmp_path: Path) -> None:
    engine.bring_up_to_date(tiny("stage=roi"))
    folder = tmp_path / "exported"
    assert command("export", str(folder), "rpn")[0] == 0
    assert command("export", str(folder), "stage=rpn")[0] == 0  # what is there already
    status, text = command("import", str(folder), elsewhere(tmp_path))
    assert (status, text.splitlines()[0][:21]) == (0, "2 artefacts imported ")
    again = engine.bring_up_to_date(tiny("stage=rpn", elsewhere(tmp_path)))
    assert {one.how for one in again.values()} == {"cached"}


def test_a_folder_that_is_no_export(tiny: Make, command: Command, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    engine.bring_up_to_date(tiny("stage=data"))
    assert "holds other things" in command("export", str(tmp_path / "full"), "data")[1]
    assert "was not made by unidet export" in command("import", str(tmp_path / "full"))[1]
    assert command("import", str(tmp_path / "absent"))[0] == 2


def test_what_an_import_refuses_is_named(tiny: Make, command: Command, tmp_path: Path) -> None:
    engine.bring_up_to_date(tiny("stage=rpn"))
    folder = tmp_path / "exported"
    command("export", str(folder), "rpn")
    record = next((folder / "store/v1/actions").rglob("*.json"))
    record.write_text(record.read_text().replace('"value"', '"../../value"'))
    status, text = command("import", str(folder), elsewhere(tmp_path))
    assert status == 1
    assert "'../../value' is not a file name inside an artefact" in text.replace("\n  ", " ")


def test_verify_repairs_and_says_how(tiny: Make, command: Command, tmp_path: Path) -> None:
    remote = str(tmp_path / "remote")
    action = engine.bring_up_to_date(tiny("stage=data"))["data"].action
    command("push", "--remote", remote)
    (file,) = action.files.values()
    blob = store_of(tiny).layout.blob(file.sha256)
    blob.unlink()
    status, text = command("verify")
    assert status == 1
    assert f"missing    blobs/sha256/{file.sha256[:2]}/{file.sha256[:12]}…" in text
    status, text = command("verify", "--repair", "--remote", remote)
    assert status == 0
    assert "brought back from" in text
    assert command("verify") == (0, "1 blobs, 1 records: 0 problems\n")
