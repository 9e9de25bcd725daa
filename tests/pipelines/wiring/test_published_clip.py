"""OpenAI's CLIP as a stage: its files, and what the stage makes of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from unidet.backend.runtime import bring_up
from unidet.cli import compose
from unidet.config.stages import PublishedClip
from unidet.errors import UserError
from unidet.pipelines.wiring.published_clip import take_published
from unidet.pipelines.wiring.published_files import published_files
from unidet.pipelines.wiring.text_encoder import open_text_encoder
from unidet.weights.layouts.clip import RN50 as SIZE
from unidet.weights.layouts.clip import image_shapes, text_shapes
from unidet.weights.layouts.registry import layout_named
from unidet.weights.read import read_checkpoint

MERGES = "bench/vocabulary/bpe_simple_vocab_16e6.txt.gz"
CLIP = PublishedClip(kind="openai", checkpoint="RN50.npz", merges="merges.txt.gz")


def config(root: Path) -> object:
    return SimpleNamespace(clip=CLIP, data=SimpleNamespace(root=str(root)))


def test_only_the_published_kind_has_files() -> None:
    assert published_files(compose(["experiment=toy"]), "") == {}


def test_missing_files_and_other_merges_are_refused(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clip.checkpoint: .*RN50.npz does not exist$"):
        published_files(config(tmp_path), "")
    (tmp_path / "RN50.npz").mkdir()
    with pytest.raises(UserError, match=r"clip.checkpoint: .*RN50.npz is not a file$"):
        published_files(config(tmp_path), "")
    (tmp_path / "RN50.npz").rmdir()
    (tmp_path / "RN50.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"clip.merges: .* does not exist; fetch it: curl -L"):
        published_files(config(tmp_path), "")
    shutil.copyfile(reference / MERGES, tmp_path / "merges.txt.gz")
    assert set(published_files(config(tmp_path), "")) == {"checkpoint", "merges"}
    (tmp_path / "merges.txt.gz").write_bytes(b"other")
    with pytest.raises(UserError, match="CLIP's file 924691ac288e"):
        published_files(config(tmp_path), "")


@pytest.mark.slow
def test_published_weights_become_the_stages_artefact(reference: Path, tmp_path: Path) -> None:
    bring_up("cpu")
    layout = layout_named("openai_clip_rn50")
    rng = np.random.default_rng(0)
    arrays = {
        name: (0.02 * rng.standard_normal(shape, np.float32)).astype(np.float16)
        for name, shape in layout.expected.items()
        if not name.endswith("num_batches_tracked")
    }
    np.savez(tmp_path / "RN50.npz", **arrays)
    shutil.copyfile(reference / MERGES, tmp_path / "merges.txt.gz")
    (tmp_path / "out").mkdir()
    files = published_files(config(tmp_path), "")
    take_published(SimpleNamespace(files=files, out=tmp_path / "out"))
    image = read_checkpoint(tmp_path / "out/image.safetensors")
    official = {
        "pool.q_proj.weight": "attnpool.q_proj.weight",
        "backbone.conv1.weight": "conv1.weight",
    }
    official |= {"shared_layer.0.bn1.bias": "layer4.0.bn1.bias"}
    for name, theirs in official.items():
        np.testing.assert_array_equal(image[name], arrays[f"visual.{theirs}"].astype(np.float32))
    assert len(image) == sum("num_batches" not in name for name in image_shapes(SIZE))
    text = read_checkpoint(tmp_path / "out/text.safetensors")
    assert {name: array.shape for name, array in text.items()} == dict(text_shapes(SIZE))
    encoder = open_text_encoder(tmp_path / "out", CLIP)
    prompts = compose(["experiment=toy", "clip_embeddings=prompts81"]).clip_embeddings
    assert encoder.embed(["alarm_clock"], prompts).shape == (1, 1024)
