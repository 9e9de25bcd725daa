"""Networks of other programs, told by names that stand in their checkpoints alone."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FOREIGN = (
    (
        r"text_model\.encoder\.layers\.\d",
        "CLIP as Hugging Face's transformers names it; OpenAI's own file is read (docs/weights.md)",
    ),
    (
        r"(visual\.)?transformer\.resblocks\.\d.*|visual\.trunk\.",
        "CLIP with another image network than ResNet-50 and ResNet-50x4, which are read",
    ),
    (
        r"(model\.)?backbone\.(conv_encoder\.|model\.embedder\.)|model\.(encoder|decoder)\.layers\.\d",
        "DETR or RT-DETR as Hugging Face's transformers names it; the file of its own repository "
        "is read (docs/weights.md)",
    ),
    (
        r"model\.\d+\.(conv|cv\d|m|bn)\.",
        "a YOLO of Ultralytics, which is no network of this program",
    ),
    (
        r"backbone\.bottom_up\.|proposal_generator\.",
        "a detector of detectron2, which is no network of this program",
    ),
    (
        r"backbone\.body\.|roi_heads\.box_predictor\.cls_score",
        "a detector of torchvision, which is no network of this program",
    ),
    (
        r"bert\.|transformer\.encoder\.text_layers\.|language_model\.",
        "a detector with a BERT, such as GroundingDINO, which is no network of this program",
    ),
    (
        r"backbone\.(image_model|text_model)\.",
        "YOLO-World of mmyolo, which is no network of this program",
    ),
    (
        r"(image_encoder|mask_decoder|sam_mask_decoder)\.",
        "Segment Anything, which detects no names",
    ),
    (
        r"(optim\w*\.)?(\d+\.)?(state|param_groups)\.",
        "the state of an optimizer, without weights; give the file with the network's state_dict",
    ),
    (
        r"(\d+\.)*\d+$|arr_\d+$",
        "tensors without names, of a list; save the network's state_dict, which names them",
    ),
)


def whose(names: Iterable[str]) -> str:
    """What network has these names in its checkpoint; empty if unknown."""
    names = list(names)
    for pattern, network in _FOREIGN:
        start = re.compile(rf"(module\.|model\.)?({pattern})")
        if any(map(start.match, names)):
            return network
    return ""
