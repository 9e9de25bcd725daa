"""Arguments of the form key=value: what they mean, and one line for what cannot be read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from unidet.config.compose import _plain_values, compose
from unidet.config.overrides import require_whole
from unidet.errors import UserError


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        compose(overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("setting", ["hydra.run.dir=x", "hydra/launcher=joblib", "+hydra.a=1"])
def test_a_setting_of_hydra_outside_a_sweep_is_refused(setting: str) -> None:
    """Nothing would read it: results go into the store."""
    assert f"{setting}: settings of Hydra's launchers are for sweeps" in refusal(setting)


@pytest.mark.parametrize(
    "folder",
    [
        *("epoch=3", "données", "日本", "a~b", "~b", "data (copy)", "[2024] data", "a#b", "it's"),
        *('say "x"', 'it\'s "x"', "{a}", "a;b", "a&b", "a`b", "a,b", "!x", "a$ é", "a|b", "a\\'b"),
    ],
)
def test_a_value_is_refused_with_a_quoting_that_works(folder: str) -> None:
    """What the message shows is typed into a shell as it is."""
    override = f"data.root=/srv/{folder}"
    try:
        assert compose([override]).data.root == f"/srv/{folder}"
    except UserError:
        message = refusal(override)
        assert message.startswith(f"{override}: the value ")
        quoted = message.rpartition("quote it: ")[2]
        typed = subprocess.run(
            ["bash", "-c", f"printf %s {quoted}"], capture_output=True, text=True
        )
        assert compose([typed.stdout]).data.root == f"/srv/{folder}"


@pytest.mark.parametrize("folder", ["données", "日本", "é #1", "a\udcff", "a\udcff (1), [b]"])
def test_letters_of_all_languages_need_no_quotes(folder: str) -> None:
    """Nor do bytes that are not UTF-8: quotes around what a terminal shows of them name another."""
    assert compose([f"store.root=/srv/{folder}"]).store.root == f"/srv/{folder}"
    assert compose([f"store.root='/srv/{folder}'"]).store.root == f"/srv/{folder}"


def test_the_quoting_of_a_plain_case_is_easy_to_read() -> None:
    assert refusal("data.root=/srv/epoch=3") == (
        "data.root=/srv/epoch=3: the value cannot be read; if it is text, quote it: "
        "data.root=\"'/srv/epoch=3'\""
    )


def test_a_list_of_texts_is_shown_with_each_of_them_quoted() -> None:
    """Quoted as a whole it would be one text, where the key takes several."""
    override = "clip_embeddings.templates=[a photo of a {}., art of {}]"
    written = refusal(override).rpartition("; if it is a list of texts: ")[2]
    assert written == "clip_embeddings.templates=\"['a photo of a {}.', 'art of {}']\""
    typed = subprocess.run(["bash", "-c", f"printf %s {written}"], capture_output=True, text=True)
    templates = compose([typed.stdout]).clip_embeddings.templates
    assert list(templates) == ["a photo of a {}.", "art of {}"]


@pytest.mark.parametrize("name", ["nonsense", "../x", "./x", ""])
def test_a_page_that_is_not_there_is_answered_with_those_that_are(name: str) -> None:
    message = refusal(f"experiment={name}")
    assert message.startswith(f"experiment: there is no {name!r}; there are bench, ")


def test_several_values_want_a_sweep() -> None:
    message = refusal("stage=data", "data.root=/srv/a,b")
    assert message.startswith("data.root=/srv/a,b: the value is several values, for which -m")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "nonsense",
            "nonsense: is neither key=value nor an option that may stand here; unidet con",
        ),
        ("--nonsense", "--nonsense: is neither key=value nor an option"),
        ("=x", "=x: names no key"),
        ("=3", "=3: names no key"),
        ("rpn=3", "rpn=3: takes a name; single values"),
        ("~rpn=3", "~rpn=3: takes a name"),
        ("data=null", "data=null: takes a name"),
        ("rpn=[[1]]", "rpn=[[1]]: takes a name"),
        ("rpn={a: 1}", "rpn={a: 1}: takes a name; single values are given like rpn.key=value"),
        ("report=[1]", "report=[1]: takes no value itself; they are given like report.key=value"),
        ("store=[a]", "store=[a]: takes no value itself"),
        ("seed=true", "seed: Input should be a number, got True"),
        ("rpn.training.steps=true", "rpn.training.steps: Input should be a number, got True"),
        ("rpn.training.optimizer.lr=true", "rpn.training.optimizer.lr: Input should be a number"),
        ("clip.mean=[true,1,1]", "clip.mean.0: Input should be a number, got True"),
        ("a..b=3", "a..b=3: is not key=value; a key is names with dots"),
        ("data root=3", "data root=3: is not key=value"),
        ("données=3", "données=3: is not key=value"),
        ("seed=[1", "seed=[1: the value cannot be read"),
        ("data.root=2024", "data.root=\"'…'\""),
        ("proposals=3", "proposals: "),
        ("clip.mean=[]", "clip.mean.0: must be given"),
        (f"seed={'9' * 5000}", "9: the value cannot be read"),
        (f"seed={2**31}", "seed: Input should be less than or equal to 2147483647"),
        (
            f"rpn.training.steps={2**63}",
            "rpn.training.steps: Input should be less than or equal to 9223372036854775807",
        ),
        ("store.root='a\0b'", "store.root: holds a character that no name of a file can hold"),
        ("remote='sftp://h/\ud800'", "remote: holds a character that no name"),
        ("data.root=${HOME}", "data.root=${HOME}: Interpolation key 'HOME' not found"),
        # whose password, which the terminal hides, Hydra would repeat
        ("remote=s3://me:a${b}@c", "remote=s3://me:a${b}@c: cannot be resolved; ${…} stands for"),
    ],
)
def test_what_is_no_override_is_named(override: str, says: str) -> None:
    assert says in refusal("stage=data", override)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rpn.images.sides=[320, 416]", 'rpn.images.sides="[320, 416]"'),
        ("stage=rpn a={b: [1, 2], c: 3} seed=1", 'a="{b: [1, 2], c: 3}"'),
        ("+a.b = 3", "+a.b=3"),
        ("a.b =3", "a.b=3"),
        ("a.b =", "a.b=VALUE"),
        ("--a.b 1e-3", "a.b=1e-3"),
        ("--a.b=x,y", 'a.b="x,y"'),
        ("--a.b --json", "a.b=VALUE"),
    ],
)
def test_what_a_shell_has_parted_is_shown_whole(typed: str, meant: str) -> None:
    with pytest.raises(UserError) as refused:
        require_whole(typed.split())
    assert str(refused.value).endswith(f"; write it so: {meant}")


@pytest.mark.parametrize(
    "typed", ["seed=[1", "seed=[1 b=2", "a=]1 2[", "val =x/y.jpg", "a= photos", "--crops -r", "'=x"]
)
def test_other_arguments_are_left_as_they_are(typed: str) -> None:
    require_whole(typed.split() if "=x/y" not in typed else [typed])


def test_a_blank_behind_the_equals_sign_is_told_where_no_files_may_stand() -> None:
    require_whole(["remote=", "seed=3", "remote=", "-h"], alone=True)
    with pytest.raises(UserError, match=r"^seed=: is not a whole .*: seed=3$"):
        require_whole(["stage=rpn", "seed=", "3"], alone=True)


@pytest.mark.parametrize(
    "key", ["data.root", "store.root", "rpn.weights", "roi.weights", "remote", "train.hostfile"]
)
def test_a_tilde_at_the_start_of_a_path_means_home(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    for written, meant in (
        ("~/a=b c", "/home/ada/a=b c"),
        ("'~/it'", "/home/ada/it"),
        ("x~", "x~"),
    ):
        value: object = compose([f"{key}={written}" if "~/" in written else f"{key}='{written}'"])
        for part in key.split("."):
            value = getattr(value, part)
        assert value == meant


@pytest.mark.parametrize("key", ["data.evaluation.val", "rpn.nope"])
def test_what_is_not_there_cannot_be_removed(key: str) -> None:
    with pytest.raises(UserError) as caught:
        compose(["experiment=toy", f"~{key}"])
    assert str(caught.value) == (
        f"~{key}: there is no such key in this study, so it cannot be removed; unidet config "
        "prints all that there are"
    )


def test_a_set_has_a_name_that_can_be_seen() -> None:
    """The pattern alone has letters without a form of their own."""
    values = {"annotations": "a.json", "images": "a", "vocabulary": "toy_val", "style": "coco"}
    for name, vocabulary, key in (
        ("a\u200cb", "toy_val", "data.evaluation.a\u200cb.[key]"),
        ("ab", "toy\u200dval", "data.evaluation.ab.vocabulary"),
    ):
        data = _plain_values(["experiment=toy"], {})["data"]
        data["evaluation"] = {name: values | {"vocabulary": vocabulary}}
        with pytest.raises(UserError) as caught:
            compose(["experiment=toy"], {"data": data})
        assert str(caught.value).startswith(f"{key}: must have no invisible characters")


def test_a_tilde_elsewhere_is_a_tilde() -> None:
    assert compose(["experiment=toy", "clip_embeddings.templates=['~/{}']"])


RECORDED = {
    "detection": {"suppression": "soft", "nms": 0.25, "score_threshold": 0.5, "max_per_image": 7},
    "rpn": {"network": "of another kind"},
}


def test_recorded_subtrees_go_before_the_pages_and_overrides_before_them() -> None:
    overrides = ["rpn=nanodet_plus_m_416", "detection.nms=0.75", "calibration.beta=0.5"]
    config = compose(overrides, RECORDED)
    assert config.rpn == compose(overrides).rpn  # a page that is chosen stays
    assert (config.detection.nms, config.detection.max_per_image) == (0.75, 7)
    assert config.calibration.beta == 0.5


def test_what_is_recorded_is_text() -> None:
    """It may come from elsewhere: nothing of this environment is put into it."""
    templates = ["${oc.env:HOME} {}", "${seed}"]
    recorded = {"clip_embeddings": {"source": "text", "templates": templates}}
    plain = _plain_values(["experiment=toy"], recorded)
    assert plain["clip_embeddings"]["templates"] == templates


def test_recorded_values_are_checked_too() -> None:
    with pytest.raises(UserError, match=r"^detection: unknown key 'nns'|^detection\.nns"):
        compose([], {"detection": {**RECORDED["detection"], "nns": 1}})


TRAINED = ("clip", "end2end", "finetune", "roi", "rpn")


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("steps=100", " or ".join(f"{name}.training.steps" for name in TRAINED)),
        ("roi.steps=100", "roi.training.steps"),
        ("rpn.training.momentum=0.9", "rpn.training.optimizer.momentum"),
        ("images_per_shard=4", "lvis_raw.images_per_shard or proposals.images_per_shard"),
    ],
)
def test_a_key_whose_first_parts_are_left_out_is_answered_with_whole_ones(
    override: str, meant: str
) -> None:
    key = override.partition("=")[0]
    line = f"{key}: unknown key {key.split('.')[-1]!r}; did you mean {meant}?"
    with pytest.raises(UserError, match=f"^{re.escape(line)}"):
        compose([override])


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["experiment=coco", "data.train_scenes=5"],
            "data.train_scenes: only data.kind=toy has this key; here data has kind, ",
        ),
        (
            ["experiment=coco_o365_oid", "clip_embeddings=none"],
            "clip_embeddings.files: only clip_embeddings.source=files has this key; here "
            "clip_embeddings has source",
        ),
        (
            ["rpn=toy_detr", "rpn.network.finest_scale=3"],
            "rpn.network.finest_scale: only rpn.network.kind=cln or rpn.network.kind=rpn has this "
            "key; here rpn.network has kind, ",
        ),
    ],
)
def test_a_key_of_another_variant_is_answered_with_the_choice_that_has_it(
    overrides: list[str], line: str
) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(line)}"):
        compose(overrides)


def test_networks_that_propose_together_are_pages_with_values_of_their_own() -> None:
    merged = compose(["proposals.merge=[toy,toy_rpn]", "proposers.toy_rpn.training.steps=7"])
    assert list(merged.proposers) == ["toy", "toy_rpn"]
    alone = compose(["rpn=toy_rpn", "rpn.training.steps=7"])
    assert merged.proposers["toy_rpn"] == alone.rpn
    assert merged.proposers["toy"] == compose([]).rpn
    assert alone.proposers == {}


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["proposals.merge=[toy]"], "merge takes two pages of conf/rpn/ or more, each once"),
        (["proposals.merge=[toy,toy]"], "merge takes two pages of conf/rpn/ or more, each once"),
        (["proposals.merge=[toy,nope]"], "rpn: there is no 'nope'; there are bench,"),
        *(
            ([f"proposals.merge=[toy,'{name}']"], f"merge: {name!r} is not the name of a page of")
            for name in ("", "toy ", "toy.yaml", "../rpn/toy", "toy@x")
        ),
        (["proposals.merge=toy"], "proposals.merge: Input should be a valid tuple, got 'toy'"),
        (["proposals.merge=[toy,3]"], "proposals.merge.1: Input should be a valid string, got 3"),
        (["proposers.toy.classes=dataset"], "proposers.toy: proposals.merge does not name 'toy'"),
        (["proposers=[1]"], "proposers: takes no value itself; single values are given like"),
        (
            ["proposals.merge=[toy,toy_rpn]", "proposals.files={val: x}"],
            "proposals: either files or merge, not both",
        ),
    ],
)
def test_what_proposes_together_is_said_rightly(overrides: list[str], says: str) -> None:
    assert says in refusal(*overrides)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "- closed_ste",
            "experiment/study: its defaults name 'closed_ste', which is no page; did ",
        ),
        (
            "- nogroup/page",
            "its defaults name 'experiment/nogroup/page', but there is no such group",
        ),
        *(
            (f"- {address}", "study: its defaults name an address, which is no page; values stand ")
            for address in ("sftp://u:s3cret@h/x", "https://s3cret@h/x", "u:s3cret@h:/x")
        ),
        (
            "- optioal closed_set",
            "its defaults name 'optioal closed_set', which is no page; did you mean 'closed_set'? "
            "there are bench, bench_end2end,",
        ),
        (
            "- override /rpm: toy",
            "experiment/study: its defaults override 'rpm'; did you mean 'rpn'? there are clip, "
            "clip_embeddings, data, end2end, experiment, finetune, prepare, roi, rpn, suite",
        ),
        ("- override rpn: toy", "'rpn'; write a slash before it: override /rpn: PAGE"),
        ("- override /suite: odinw13", "'suite'; no page of it was chosen before, so leave out"),
        (
            "- ovveride /rpn: toy",
            "defaults: two pages of rpn are named; one that replaces the other is written as: "
            "override /rpn: toy",
        ),
    ],
)
def test_a_wrong_line_of_a_list_of_defaults_is_answered_with_the_right_one(
    tmp_path: Path, line: str, says: str
) -> None:
    """Hydra passes over a misspelt keyword, and names its own search path in place of pages."""
    study = tmp_path / "experiment" / "study.yaml"
    study.parent.mkdir()
    study.write_text(f"# @package _global_\ndefaults:\n  - closed_set\n  {line}\n  - _self_\n")
    message = refusal(f"hydra.searchpath=[{tmp_path}]", "experiment=study")
    assert says in message
    assert "search path" not in message
    assert "s3cret" not in message
