"""Measures how far the official float32 recordings are from float64: `noise_floors.json`.

    record_noise_floors.py RT-DETR/rtdetr_pytorch REFERENCE/detectors

Needs PyTorch and a checkout of lyuwenyu/RT-DETR at 068dfde6; run outside this project's
environment. The official modules are loaded one by one, so that neither torchvision nor its data
pipelines are needed. The part on DETR was measured in the same way with facebookresearch/detr at
29901c51, whose torchvision backbone was spelt out for it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

OUT = Path(__file__).with_name("noise_floors.json")
DRAWS = ("draw0_rand_like", "draw1_randint_like", "draw2_randint_like", "draw3_rand_like")
SIZES: dict[str, dict[str, Any]] = {
    "r18vd": {"depth": 18, "freeze_at": -1, "freeze_norm": False, "layers": 3, "expansion": 0.5},
    "r50vd": {"depth": 50, "freeze_at": 0, "freeze_norm": True, "layers": 6, "expansion": 1.0},
}


def stub_packages(checkout: Path) -> None:
    """Namespaces in place of the packages whose `__init__` import everything."""
    for name in ("src", "src.zoo", "src.zoo.rtdetr", "src.nn", "src.nn.backbone", "src.misc"):
        package = types.ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = package
    contents: dict[str, dict[str, Any]] = {
        "src.core": {"register": lambda module: module},
        "src.misc.dist": {
            "get_world_size": lambda: 1,
            "is_dist_available_and_initialized": lambda: False,
        },
        "torchvision": {},
        "torchvision.ops": {},
        "torchvision.ops.boxes": {
            "box_area": lambda boxes: (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        },
    }
    for name, values in contents.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(values)


def official(name: str) -> Any:
    return importlib.import_module(f"src.{name}")


def network(variant: str) -> torch.nn.Module:
    """The official network."""
    size = SIZES[variant]
    channels = [128, 256, 512] if size["depth"] == 18 else [512, 1024, 2048]
    backbone = official("nn.backbone.presnet").PResNet(
        depth=size["depth"],
        variant="d",
        freeze_at=size["freeze_at"],
        freeze_norm=size["freeze_norm"],
        return_idx=[1, 2, 3],
        num_stages=4,
        pretrained=False,
    )
    encoder = official("zoo.rtdetr.hybrid_encoder").HybridEncoder(
        in_channels=channels, dropout=0.0, expansion=size["expansion"], eval_spatial_size=None
    )
    decoder = official("zoo.rtdetr.rtdetr_decoder").RTDETRTransformer(
        num_decoder_layers=size["layers"], feat_channels=[256] * 3, eval_spatial_size=None
    )
    return official("zoo.rtdetr.rtdetr").RTDETR(backbone, encoder, decoder)


def build(variant: str, reference: Path, dtype: torch.dtype) -> torch.nn.Module:
    """The official network with weights made from names."""
    built = network(variant)
    rule = load_rule(reference / "deterministic_weights_detr.py")
    state = built.state_dict()
    for row in (reference / f"keys_rtdetr_{variant}.txt").read_text().splitlines():
        name, shape = row.split("\t")[:2]
        value = rule.detr_value(name, tuple(ast.literal_eval(shape)))
        if value is not None:
            state[name] = torch.tensor(value)
    built.load_state_dict(state)
    return built.to(dtype).train()


def load_rule(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def criterion() -> torch.nn.Module:
    matcher = official("zoo.rtdetr.matcher").HungarianMatcher(
        weight_dict={"cost_class": 2, "cost_bbox": 5, "cost_giou": 2},
        use_focal_loss=True,
        alpha=0.25,
        gamma=2.0,
    )
    return official("zoo.rtdetr.rtdetr_criterion").SetCriterion(
        matcher=matcher,
        weight_dict={"loss_vfl": 1, "loss_bbox": 5, "loss_giou": 2},
        losses=["vfl", "boxes"],
        alpha=0.75,
        gamma=2.0,
    )


def replay_draws(golden: Any) -> None:
    """torch's random tensors are the recorded ones from here on."""
    draws = iter([torch.tensor(golden[f"t32/dn/{name}"]) for name in DRAWS])

    def next_draw(like: torch.Tensor, *_: Any, dtype: Any = None, **__: Any) -> torch.Tensor:
        return next(draws).to(dtype or like.dtype)

    torch.rand_like = torch.randint_like = next_draw


def floors(variant: str, reference: Path) -> dict[str, dict[str, float]]:
    """Distances of the recorded losses and gradients from those in float64."""
    golden = np.load(reference / f"golden_rtdetr_{variant}_train.npz")
    built = build(variant, reference, torch.float64)
    targets = [
        {
            "labels": torch.tensor(golden[f"t32/gt/labels{image}"]),
            "boxes": torch.tensor(golden[f"t32/gt/boxes{image}"]).double(),
        }
        for image in (0, 1)
    ]
    replay_draws(golden)
    images = (torch.tensor(golden["img_u8"]).float() / 255).double()
    losses = criterion()(built(images, targets), targets)
    sum(losses.values()).backward()
    floors = {}
    for name, value in losses.items():
        recorded = float(golden[f"t32/loss/{name}"])
        floors[name] = float(f"{abs(float(value.detach()) - recorded) / abs(recorded):.2g}")
    return {"gradients": gradient_floors(built, golden), "losses": floors}


def gradient_floors(network: torch.nn.Module, golden: Any) -> dict[str, float]:
    parameters = dict(network.named_parameters())
    floors = {}
    for key in golden:
        if not key.startswith("t32/grad/") or key.endswith(("#norm", "#shape")):
            continue
        name = key.removeprefix("t32/grad/").split("#")[0]
        recorded = golden[key].ravel().astype(np.float64)
        exact = parameters[name].grad.numpy().ravel()[: recorded.size]
        whole = f"t32/grad/{name}#norm"
        norm = float(golden[whole]) if whole in golden else np.linalg.norm(recorded)
        floors[name] = float(f"{np.linalg.norm(exact - recorded) / norm:.2g}")
    return floors


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    stub_packages(Path(sys.argv[1]))
    sys.path.insert(0, sys.argv[1])
    measured = json.loads(OUT.read_text())
    for variant in SIZES:
        measured[f"rtdetr_{variant}"] = floors(variant, Path(sys.argv[2]))
    OUT.write_text(json.dumps(measured, indent=1))
