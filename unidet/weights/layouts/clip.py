"""OpenAI's CLIP with ResNet-50 and ResNet-50x4, whole or one side alone.

Under our names the image side stands below `image.` (`models/clip/image.ImageEncoder`) and the
text side below `text.` (`models/clip/text.TextEncoder`). OpenAI's files are TorchScript archives in
float16, which stays as it is; they also hold three numbers that describe the model.

Source: openai/CLIP, clip/model.py (`CLIP`, `ModifiedResNet`, `AttentionPool2d`, `build_model`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from unidet.weights.layouts.layer_shapes import (
    Shapes,
    attention,
    attention_pool,
    clip_resnet,
    layer_norm,
    linear,
    under,
)
from unidet.weights.layouts.layout import Layout

CONTEXT_LENGTH, VOCABULARY_SIZE, TEXT_LAYERS = 77, 49408, 12


@dataclass(frozen=True)
class Size:
    """What tells the published models apart.

    Attributes:
        blocks, width: of the ResNet; its last layer has 32 x width channels.
        cells: side of the maps that the attention pool takes.
        embedding: length of an embedding.
        text_width: of the text transformer.
    """

    blocks: tuple[int, int, int, int]
    width: int
    cells: int
    embedding: int
    text_width: int

    def pool(self, name: str) -> Shapes:
        """Shapes of the attention pool."""
        return attention_pool(
            name,
            tokens=self.cells**2 + 1,
            channels=32 * self.width,
            embedding=self.embedding,
        )


RN50 = Size((3, 4, 6, 3), width=64, cells=7, embedding=1024, text_width=512)
RN50X4 = Size((4, 6, 10, 6), width=80, cells=9, embedding=640, text_width=640)
SIZES = {"rn50": RN50, "rn50x4": RN50X4}


def image_shapes(size: Size) -> Shapes:
    return under("visual.", clip_resnet(size.blocks, size.width)) | size.pool("visual.attnpool")


def whole_shapes(size: Size) -> Shapes:
    return {
        **_text_parameters(size),
        "logit_scale": (),
        **image_shapes(size),
        **text_shapes(size),
    }


def _text_parameters(size: Size) -> Shapes:
    """The model's own, which PyTorch lists in front of its modules'."""
    return {
        "positional_embedding": (CONTEXT_LENGTH, size.text_width),
        "text_projection": (size.text_width, size.embedding),
    }


def text_shapes(size: Size) -> Shapes:
    width = size.text_width
    shapes = _text_parameters(size)
    for index in range(TEXT_LAYERS):
        name = f"transformer.resblocks.{index}"
        shapes |= {
            **attention(f"{name}.attn", width),
            **layer_norm(f"{name}.ln_1", width),
            **linear(f"{name}.mlp.c_fc", 4 * width, width),
            **linear(f"{name}.mlp.c_proj", width, 4 * width),
            **layer_norm(f"{name}.ln_2", width),
        }
    shapes["token_embedding.weight"] = (VOCABULARY_SIZE, width)
    return shapes | layer_norm("ln_final", width)


def title(name: str) -> str:
    """`RN50x4`."""
    return name.upper().replace("X", "x")


def _layouts(name: str, size: Size) -> tuple[Layout, ...]:
    """The whole model, the image side alone, the text side alone."""
    whole = Layout(
        name=f"openai_clip_{name}",
        network=f"clip_{name}",
        summary=f"OpenAI's CLIP {title(name)}, image and text",
        shapes=lambda: whole_shapes(size),
        renames=(
            (r"^visual\.attnpool\.", "image.attnpool."),
            (r"^visual\.", "image.backbone."),
            (r"^(?!image\.|logit_scale$)", "text."),
        ),
        kept=("input_resolution", "context_length", "vocab_size", "attn_mask"),  # of TorchScript
    )
    image = replace(
        whole,
        name=f"openai_clip_{name}_image",
        summary=f"OpenAI's CLIP {title(name)}, image side alone",
        shapes=lambda: image_shapes(size),
    )
    text = replace(
        whole,
        name=f"openai_clip_{name}_text",
        summary=f"OpenAI's CLIP {title(name)}, text side alone",
        shapes=lambda: text_shapes(size),
    )
    return whole, image, text


LAYOUTS = tuple(layout for name, size in SIZES.items() for layout in _layouts(name, size))
