"""The real stages on a tiny toy world, end to end, and what a person sees of it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import COMMAND
from commands import answer as unidet
from PIL import Image
from stage_pages import departures

from unidet.cli import compose
from unidet.pipelines.engine.engine import open_store
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.engine.states import built as artefacts

AP_KEYS = {"AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "AR@300"}


def process(*arguments: str) -> subprocess.CompletedProcess:
    """The command as a person has it; `unidet` is the same in this process, which starts sooner."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def study(overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides of a tiny study that has run to its report."""
    command = (*overrides, f"store.root={tmp_path_factory.mktemp('study')}")
    result = process("stage=report", *command)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^report: \S+/reports/toy-[0-9a-f]{12}\.html$", result.stdout, re.MULTILINE)
    assert result.stderr.count(" ran ") == 22
    return command


def folder(stage: str, study: tuple[str, ...]) -> Path:
    result = unidet("path", stage, *study)
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


def test_a_second_run_is_cached_and_never_imports_jittor(study: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom unidet.cli import main\n"
        "try:\n    main()\nfinally:\n    assert 'jittor' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, "stage=report", *study]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(" cached ") == 10  # a line a stage


def test_the_report_says_what_was_run(study: tuple[str, ...], tmp_path: Path) -> None:
    """The page beside the artefacts does, the artefact itself depends on its inputs alone."""
    cached = unidet("stage=report", *study)
    (place,) = re.findall(r"^report: (\S+)$", cached.stdout, re.MULTILINE)
    page, own = Path(place).read_text(), (folder("report", study) / "report.html").read_text()
    for words in ("data.val_scenes", "stage=report", "lvis_raw[dev]", socket.gethostname()):
        assert words in page
    for words in ("rpn.training.steps", "of computing", study[-1].removeprefix("store.root=")):
        assert words in page
        assert words not in own
    out = tmp_path / "again.html"
    done = unidet("report", "--out", str(out), *study)
    assert done.returncode == 0, done.stderr
    assert out.read_text() == page


def test_artefacts_are_what_the_pages_of_the_stages_say(study: tuple[str, ...]) -> None:
    """Files, and names, types and shapes of arrays, of docs/stages/."""
    config = compose(list(study))
    store = open_store(config)
    made = artefacts("report", config, store).items()
    assert len(made) == 22
    for node, action in made:
        assert departures(node.stage, str(node), store.folder(action)) == []


def test_metrics_have_the_promised_keys(study: tuple[str, ...]) -> None:
    metrics = json.loads((folder("lvis_eval", study) / "metrics.json").read_text())
    assert metrics.keys() >= AP_KEYS | {"AP_base", "AP_novel"}
    recalls = json.loads((folder("proposals", study) / "metrics.json").read_text())
    assert recalls.keys() >= {"AR@10", "AR@100", "AR@300", "AR@1000", "R50@300"}


def test_evaluate_agrees_with_the_stage(study: tuple[str, ...], tmp_path: Path) -> None:
    truth = folder("data:val", study) / "ground_truth.json"
    results = folder("lvis_eval", study) / "detections.json"
    out = tmp_path / "metrics.json"
    done = unidet("evaluate", str(truth), str(results), "--style", "lvis", "--out", str(out))
    assert done.returncode == 0, done.stderr
    stage = json.loads((folder("lvis_eval", study) / "metrics.json").read_text())
    metrics = json.loads(out.read_text())
    assert {key: metrics[key] for key in AP_KEYS} == {key: stage[key] for key in AP_KEYS}


def test_calibration_is_swept_without_the_network(study: tuple[str, ...]) -> None:
    result = process("-m", "stage=lvis_eval", "calibration.gamma=0.3,0.6", *study)
    assert result.returncode == 0, result.stderr
    assert len(re.findall(r"^lvis_raw \(2\) +cached", result.stderr, re.MULTILINE)) == 2
    assert "calibration.gamma" in result.stdout
    again = process("-m", "stage=lvis_eval", "calibration.gamma=0.3,0.6", *study)
    assert again.stdout == result.stdout
    assert again.stderr == ""


@pytest.mark.parametrize(
    "launcher", ["joblib", pytest.param("submitit_local", marks=pytest.mark.slow)]
)
def test_a_sweep_through_another_launcher(study: tuple[str, ...], launcher: str) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher")
    gammas = "0.1,0.2" if launcher == "joblib" else "0.4,0.5"
    result = process(
        "-m", "stage=lvis_eval", f"calibration.gamma={gammas},-1", *study,
        f"hydra/launcher={launcher}",
    )  # fmt: skip
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert "calibration.gamma=-1" in line
    *_, csv, plot = result.stdout.splitlines()
    assert [row.split(",")[0] for row in Path(csv).read_text().splitlines()[1:]] == gammas.split(
        ","
    )
    assert Path(plot).name == "AP_against_gamma.png"


def test_a_launcher_that_is_not_installed_is_one_line(study: tuple[str, ...]) -> None:
    result = process(
        "-m", "stage=lvis_eval", "calibration.gamma=0.7,0.8", "hydra/launcher=nowhere", *study
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(
        "unidet: hydra/launcher: there is no 'nowhere'"
    )


def test_status_says_fresh_for_every_stage(study: tuple[str, ...]) -> None:
    result = unidet("status", "--json", *study)
    assert {state["state"] for state in json.loads(result.stdout)} == {"fresh"}


def test_path_of_what_is_not_built(study: tuple[str, ...]) -> None:
    result = unidet("path", "roi", *study, "roi.training.steps=4")
    assert result.returncode == 1
    assert result.stdout == ""


def test_detect_draws_a_vocabulary_never_seen(study: tuple[str, ...], tmp_path: Path) -> None:
    images = np.load(folder("data:val", study) / "images.npy", mmap_mode="r")
    picture = tmp_path / "scene.png"
    Image.fromarray(images[0]).save(picture)
    done = unidet(
        "detect", str(picture), "--vocab", "striped red star, framed ring", "--study", "toy",
        "--threshold", "0", "--out", str(tmp_path / "out"), *study,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out" / "scene.png") as drawn:
        assert drawn.size == (192, 192)
    records = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {record["category_id"] for record in records} == {1, 2}


def test_detect_takes_strips_one_after_another(study: tuple[str, ...], tmp_path: Path) -> None:
    """All sides of the toy study's images are 192, whatever they were."""
    sizes = [(1, 60_000), (20_000, 30), (1, 1)]
    pictures = [tmp_path / f"{width}x{height}.png" for width, height in sizes]
    for path, size in zip(pictures, sizes, strict=True):
        Image.new("RGB", size, "teal").save(path)
    done = unidet(
        "detect", *map(str, pictures), "--vocab", "ring", "--out", str(tmp_path / "out"),
        "--study", "toy", *study,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    drawn = []
    for path in pictures:
        with Image.open(tmp_path / "out" / path.name) as picture:
            drawn.append(picture.size)
    assert drawn == sizes


def test_detect_passes_over_what_it_cannot_read(study: tuple[str, ...], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    done = unidet(
        "detect", str(broken), "--vocab", "star", "--out", str(tmp_path / "out"),
        "--study", "toy", *study,
    )  # fmt: skip
    assert done.returncode == 1
    assert "broken.jpg: the file is damaged" in done.stderr
    assert json.loads((tmp_path / "out" / "detections.json").read_text()) == []


def test_bad_input_is_one_line_and_status_2() -> None:
    for arguments in (["stage=rpm"], ["stage=rpn", "rpn.lr=1"], ["experiment=bench", "stage=data"]):
        result = unidet(*arguments)
        assert result.returncode == 2
        assert len(result.stderr.strip().splitlines()) == 1
        assert result.stderr.startswith("unidet: ")


def test_the_command_alone_explains_itself() -> None:
    result = unidet()
    assert result.returncode == 0
    assert "stage=report" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


DATASETS = ("a", "b", "val", "dev")
NODES = ("val", "dev", "training/a", "training/b")


def test_proposals_out_as_mmdet_has_them_and_in_again(
    study: tuple[str, ...], tmp_path: Path
) -> None:
    files = []
    for name in DATASETS:
        pickled = tmp_path / f"{name}.pkl"
        done = unidet("interchange", f"proposals:{name}", str(pickled), *study)
        assert done.returncode == 0, done.stderr
        files.append(f"proposals.files.{name}={pickled}")
    done = unidet("stage=proposals", *study, *files)
    assert done.returncode == 0, done.stderr
    ran = [line.split()[:2] for line in done.stderr.splitlines()]
    assert ran[0] == ["data", "(4)"]
    assert ran[1:] == [[f"proposals[{node}]", "ran"] for node in NODES]
    for node in NODES:  # the same bytes are the same artefact
        target = f"proposals:{node}"
        assert folder(target, (*study, *files)) == folder(target, study)


def test_proposals_that_the_disk_has_altered_are_not_converted(
    study: tuple[str, ...], tmp_path: Path
) -> None:
    shard = folder("proposals:training/b", study) / SHARDS / "shard-00000.npz"
    whole = shard.read_bytes()
    shard.chmod(0o644)
    middle = len(whole) // 2  # the last bit of a number
    shard.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    try:
        done = unidet("interchange", "proposals:training/b", str(tmp_path / "b.json"), *study)
    finally:
        shard.write_bytes(whole)
        shard.chmod(0o444)
    assert done.returncode == 2
    assert "/shard-00000.npz is not what was stored" in done.stderr
    assert not (tmp_path / "b.json").exists()


def test_results_out_as_mmdet_has_them(study: tuple[str, ...], tmp_path: Path) -> None:
    pickled, back = tmp_path / "val.pkl", tmp_path / "val.json"
    done = unidet("interchange", "lvis_eval:val", str(pickled), *study)
    assert done.returncode == 0, done.stderr
    truth = folder("data:val", study) / "ground_truth.json"
    done = unidet("interchange", str(pickled), str(back), "--annotations", str(truth))
    assert done.returncode == 0, done.stderr
    ours = json.loads((folder("lvis_eval", study) / "detections.json").read_text())
    theirs = json.loads(back.read_text())
    assert len(ours) == len(theirs) > 0
    place = {
        image["id"]: place for place, image in enumerate(json.loads(truth.read_text())["images"])
    }

    def key(record: dict) -> tuple:
        return (place[record["image_id"]], record["category_id"], -record["score"], record["bbox"])

    for detection, other in zip(sorted(ours, key=key), sorted(theirs, key=key), strict=True):
        assert detection["category_id"] == other["category_id"]
        assert detection["score"] == pytest.approx(other["score"], rel=1e-6)
        assert detection["bbox"] == pytest.approx(other["bbox"], abs=1e-4)


def test_what_others_proposed_must_cover_every_dataset(
    study: tuple[str, ...], tmp_path: Path
) -> None:
    done = unidet("stage=proposals", *study, "proposals.files.a=absent.pkl")
    assert done.returncode == 2
    assert done.stderr.endswith("unidet: proposals.files.a: absent.pkl does not exist\n")
    (tmp_path / "a.pkl").write_bytes(b"")
    done = unidet("stage=proposals", *study, f"proposals.files.a={tmp_path / 'a.pkl'}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "unidet: proposals.files: must name a file for each of a, b, val, dev; "
        "nothing for b, val, dev"
    )
    done = unidet("interchange", "proposals:c", str(tmp_path / "c.pkl"), *study)
    assert done.returncode == 2
    assert "there is no proposals[c]; there is proposals[val], proposals[dev], " in done.stderr


def test_networks_of_others_in_place_of_trained_ones(study: tuple[str, ...]) -> None:
    weights = [
        value
        for stage in ("rpn", "roi")
        for value in (
            f"{stage}.weights={folder(stage, study) / 'model.safetensors'}",
            f"{stage}.training=null",
        )
    ]
    weights.append("proposals.training=false")
    done = unidet("stage=lvis_eval", *study, *weights)
    assert done.returncode == 0, done.stderr
    assert unidet("path", "proposals:training/a", *study, *weights).returncode == 2
    # The same weights give the same detections.
    assert folder("lvis_eval", (*study, *weights)) == folder("lvis_eval", study)
    assert not (folder("rpn", (*study, *weights)) / "log.csv").exists()
    done = unidet("interchange", "proposals:a", "a.pkl", *study, *weights)
    assert done.returncode == 2
    assert done.stderr == (
        "unidet: stage: there is no proposals[a]; there is proposals[val], proposals[dev]\n"
    )
    done = unidet("stage=roi", *study, "roi.training=null")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "unidet: roi.training: null needs a trained network; name one: roi.weights=FILE"
    )


FINE_TUNING = (
    *("experiment=toy_finetune", "data.new_scenes=4", "finetune.images=3"),
    *("finetune.training.steps=2", "finetune.training.batch_size=2"),
)


def test_new_names_are_learned_beside_the_old_ones(study: tuple[str, ...]) -> None:
    command = (*study, *FINE_TUNING)
    done = unidet("stage=report", *command)
    assert done.returncode == 0, done.stderr
    assert not {"clip", "rpn", "roi"} & set(ran(done.stderr))  # the study's own
    rows = re.findall(r"^(val|dev) +(before|fine-tuned|plain) +\d", done.stdout, re.MULTILINE)
    assert len(rows) == 6
    config = compose([*command])
    store = open_store(config)
    made = {str(node): action for node, action in artefacts("report", config, store).items()}
    tuned = {label: a for label, a in made.items() if re.match("rehearsal|finetune", label)}
    assert len(tuned) == 14
    for label, action in tuned.items():
        assert departures(label.partition("[")[0], label, store.folder(action)) == []
    page = (store.folder(made["report"]) / "report.html").read_text()
    assert "Before and after fine-tuning" in page


def test_learning_names_alone_changes_no_region(study: tuple[str, ...]) -> None:
    command = (*study, *FINE_TUNING, "finetune.learns=names", "finetune.plain=false")
    done = unidet("stage=finetune_raw:rehearsal/val", *command)
    assert done.returncode == 0, done.stderr
    target = "finetune_raw:rehearsal/val"
    before = Sharded(folder("lvis_raw:val", command) / SHARDS)
    after = Sharded(folder(target, command) / SHARDS)
    for row in range(len(before)):
        for name, column in before.of(row).items():
            np.testing.assert_array_equal(after.of(row)[name], column)


# --- data sets of one's own beside the toy world's ----------------------------------------------


@pytest.fixture(scope="module")
def pictures(study: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of `val` as files, and annotations: of all of them, of two, and broken ones."""
    root = tmp_path_factory.mktemp("own")
    (root / "images").mkdir()
    for number, pixels in enumerate(np.load(folder("data:val", study) / "images.npy")[:3]):
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
    for name, numbers in {"all": (0, 1, 2), "two": (2, 0)}.items():
        document = {
            "images": [
                {"id": 7 + i, "file_name": f"{i}.png", "width": 192, "height": 192} for i in numbers
            ],
            "annotations": [
                {"id": 1 + i, "image_id": 7 + i, "category_id": 1, "bbox": [20, 20, 40, 40],
                 "area": 1600, "iscrowd": 0}
                for i in numbers
            ],
            "categories": [{"id": 1, "name": "striped red star"}],
        }  # fmt: skip
        (root / f"{name}.json").write_text(json.dumps(document))
    document["annotations"][0]["bbox"] = [20, 20, 40]
    (root / "broken.json").write_text(json.dumps(document))
    return root


def own_set(name: str, root: Path, annotations: str, use: str = "evaluation") -> tuple[str, ...]:
    style = ",style:coco" if use == "evaluation" else ""
    return (
        f"data.root={root}",
        f"data.{use}.{name}={{annotations:{annotations}.json,images:images,vocabulary:own{style}}}",
    )


def ran(stderr: str) -> list[str]:
    return re.findall(r"^(\S+) +ran ", stderr, re.MULTILINE)


def without_jittor(*arguments: str) -> subprocess.CompletedProcess:
    code = "import sys; sys.modules['jittor'] = None; from unidet.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_another_evaluation_set_runs_only_what_it_needs(
    study: tuple[str, ...], pictures: Path
) -> None:
    extended = (*study, *own_set("extra", pictures, "all"))
    needed = {"data", "clip_embeddings", "proposals", "lvis_raw", "lvis_eval"}
    states = json.loads(unidet("status", "--json", *extended).stdout)
    not_fresh = {state["node"] for state in states if state["state"] != "fresh"}
    names = {f"{stage}[{'own' if stage == 'clip_embeddings' else 'extra'}]" for stage in needed}
    assert not_fresh == {*names, "report"}
    done = unidet("stage=report", *extended)
    assert done.returncode == 0, done.stderr
    assert {*ran(done.stderr)} == {*names, "report"}


def test_an_image_that_a_network_has_seen_is_not_run_again(
    study: tuple[str, ...], pictures: Path
) -> None:
    """A second set brings two of the first one's images: no network is even loaded."""
    extended = (*study, *own_set("extra", pictures, "all"), *own_set("twin", pictures, "two"))
    assert unidet("stage=lvis_eval", *extended[:-1]).returncode == 0
    done = without_jittor("stage=lvis_eval", *extended)
    assert done.returncode == 0, done.stderr
    stages = ("data", "proposals", "lvis_raw", "lvis_eval")
    assert {*ran(done.stderr)} == {f"{stage}[twin]" for stage in stages}
    first, second = (
        Sharded(folder(f"lvis_raw:{name}", extended) / SHARDS) for name in ("extra", "twin")
    )
    for row, same in enumerate((2, 0)):
        for name, column in second.of(row).items():
            np.testing.assert_array_equal(column, first.of(same)[name])


def test_a_limited_set_runs_no_network_either(study: tuple[str, ...], pictures: Path) -> None:
    extended = (*study, *own_set("extra", pictures, "all"))
    assert unidet("stage=lvis_eval", *extended).returncode == 0
    done = without_jittor("stage=lvis_eval", *extended, "data.evaluation.extra.limit=2")
    assert done.returncode == 0, done.stderr


def test_another_training_set_leaves_data_and_embeddings(
    study: tuple[str, ...], pictures: Path
) -> None:
    extended = (*study, *own_set("more", pictures, "all", "training"))
    states = json.loads(unidet("status", "--json", *extended).stdout)
    fresh = {state["node"] for state in states if state["state"] == "fresh"}
    assert fresh == {
        *("data[training/a]", "data[training/b]", "data[val]", "data[dev]", "data[clip/crops]"),
        *("clip", "clip_embeddings[toy_a]", "clip_embeddings[toy_b]", "clip_embeddings[toy_val]"),
    }


def test_a_broken_evaluation_file_is_found_before_training(
    study: tuple[str, ...], pictures: Path
) -> None:
    extended = (*study, *own_set("extra", pictures, "broken"), "rpn.training.steps=4")
    done = unidet("stage=report", *extended)
    assert done.returncode == 2
    assert "broken.json" in done.stderr.splitlines()[-1]
    assert ran(done.stderr) == []


def test_a_set_whose_vocabulary_is_embedded_already_must_have_its_names(
    study: tuple[str, ...], pictures: Path
) -> None:
    """As many categories, other names: found before anything runs for it."""
    extra = own_set("extra", pictures, "all")
    assert unidet("stage=clip_embeddings", *study, *extra).returncode == 0
    document = json.loads((pictures / "all.json").read_text())
    document["categories"][0]["name"] = "zebra"
    (pictures / "zebra.json").write_text(json.dumps(document))
    both = (*extra, *own_set("zoo", pictures, "zebra")[1:])
    for target in ("stage=lvis_eval", "stage=lvis_eval:zoo"):
        done = unidet(target, *study, *both)
        assert done.returncode == 2
        assert {*ran(done.stderr)} <= {"data[extra]", "data[zoo]"}
        assert "different categories (1 and 1)" in done.stderr


def test_one_artefact_of_a_stage_is_a_target(study: tuple[str, ...]) -> None:
    bracketed = unidet("stage=lvis_eval[dev]", *study)
    assert bracketed.returncode == 0, bracketed.stderr
    assert "lvis_eval[val]" not in bracketed.stderr
    assert Path(bracketed.stdout.splitlines()[-1]) == folder("lvis_eval:dev", study)
    assert (
        folder("lvis_eval", study)
        == folder("lvis_eval:val", study)
        != folder("lvis_eval:dev", study)
    )
