"""Checkpoints of other programs' networks are called by what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.weights.layouts.foreign import whose
from unidet.weights.layouts.registry import LAYOUTS, NoLayout, open_weights
from unidet.weights.write import write_torch


@pytest.mark.parametrize(
    ("name", "network"),
    [
        # names as these programs write them
        ("text_model.encoder.layers.0.self_attn.k_proj.weight", "CLIP as Hugging Face's"),
        ("visual.transformer.resblocks.0.attn.in_proj_weight", "CLIP with another image network"),
        ("module.visual.trunk.blocks.0.norm1.weight", "CLIP with another image network"),
        ("model.backbone.conv_encoder.model.conv1.weight", "DETR or RT-DETR as Hugging Face's"),
        ("model.decoder.layers.0.fc1.weight", "DETR or RT-DETR as Hugging Face's"),
        ("model.0.conv.weight", "a YOLO of Ultralytics"),
        ("model.22.cv3.0.0.conv.weight", "a YOLO of Ultralytics"),
        ("backbone.body.conv1.weight", "a detector of torchvision"),
        ("backbone.bottom_up.stem.conv1.weight", "a detector of detectron2"),
        ("module.bert.embeddings.word_embeddings.weight", "a detector with a BERT"),
        ("backbone.image_model.stem.conv.weight", "YOLO-World of mmyolo"),
        ("image_encoder.patch_embed.proj.weight", "Segment Anything"),
        ("state.0.exp_avg", "the state of an optimizer"),
        ("optimizer_states.0.state.0.exp_avg", "the state of an optimizer"),
        ("optimizer.state.0.exp_avg", "the state of an optimizer"),
        ("17", "tensors without names, of a list"),
        ("0.3", "tensors without names, of a list"),
        ("arr_0", "tensors without names, of a list"),
        ("0.weight", ""),
        ("body.conv.weight", ""),
    ],
)
def test_names(name: str, network: str) -> None:
    assert whose([name]).startswith(network)
    assert bool(whose([name])) == bool(network)


def test_detectron2_s_box_predictor_is_called_as_torchvision_s() -> None:
    names = ["roi_heads.box_predictor.cls_score.weight", "backbone.bottom_up.stem.conv1.weight"]
    assert whose(names).startswith("a detector of detectron2")
    assert whose(names[:1]).startswith("a detector of torchvision")


def test_the_message(tmp_path: Path) -> None:
    write_torch(tmp_path / "x.pth", {"model.0.conv.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(UserError) as caught:
        open_weights(tmp_path / "x.pth")
    assert str(caught.value) == (
        f"{tmp_path / 'x.pth'}: fits no layout: is a YOLO of Ultralytics, which is no network of "
        "this program; docs/convert.md lists all layouts"
    )
    write_torch(tmp_path / "y.pth", {"body.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(NoLayout, match="most of its names are of none"):
        open_weights(tmp_path / "y.pth")


def test_no_layout_is_foreign_but_openai_s_clip() -> None:
    """Whose text side has the names of every CLIP; it is asked only about what fits nothing."""
    foreign = {layout.name for layout in LAYOUTS if whose(layout.expected)}
    assert all(name.startswith("openai_clip_") for name in foreign)
