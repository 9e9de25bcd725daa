"""Records the fixtures of test_read.py with PyTorch; run by hand where PyTorch is installed.

Values are small integers, so that every type holds them exactly: `expected.npz` has them as numpy
made them, not as PyTorch read them back.
"""

from __future__ import annotations

import pickle
import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from tempfile import gettempdir
from types import ModuleType

import numpy as np
import torch

FOLDER = Path(__file__).parent / "checkpoints"


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("echo never > hostile-was-here",)


class Small(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3)
        self.register_buffer("steps", torch.tensor(7))
        with torch.no_grad():
            self.conv.weight.copy_(torch.arange(18).reshape(2, 1, 3, 3))
            self.conv.bias.copy_(torch.tensor([1.0, -1.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def state(expected: dict[str, np.ndarray]) -> OrderedDict[str, torch.Tensor]:
    base = torch.from_numpy(expected["float32"].copy())
    tensors = OrderedDict((name, torch.from_numpy(array)) for name, array in expected.items())
    tensors["strided"] = base[::2, 1:]
    tensors["transposed"] = base.t()
    tensors["expanded"] = base[:1, :1].expand(3, 2)
    tensors["parameter"] = torch.nn.Parameter(base + 1)
    tensors["bfloat16"] = (base - 5).bfloat16()
    expected["strided"] = expected["float32"][::2, 1:]
    expected["transposed"] = expected["float32"].T
    expected["expanded"] = np.broadcast_to(expected["float32"][0, 0], (3, 2))
    expected["parameter"] = expected["float32"] + 1
    expected["bfloat16"] = expected["float32"] - 5
    return tensors


def record_trainers() -> None:
    """As DETR's and NanoDet-Plus' trainers save: beside the weights are settings and callbacks."""
    lightning = ModuleType("pytorch_lightning.callbacks")
    lightning.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": lightning.__name__})
    sys.modules["pytorch_lightning"] = ModuleType("pytorch_lightning")
    sys.modules[lightning.__name__] = lightning
    weights = {"model.a": torch.zeros(2), "model.b": torch.ones(1), "avg_model.a": torch.ones(2)}
    trainer = {"state_dict": weights, "callbacks": {lightning.ModelCheckpoint: {"best": 0.5}}}
    torch.save(trainer, FOLDER / "nanodet.ckpt")
    settings = Namespace(lr=1e-4, device="cuda", extra=[1, 2])
    torch.save({"model": {"a": torch.ones(2)}, "args": settings}, FOLDER / "detr.pth")


def record_frameworks() -> None:
    """As mmengine and lightning.pytorch save while they train, by their own classes."""
    import lightning.pytorch as lightning
    from mmengine.logging import MessageHub

    hub = MessageHub("recorded")
    for loss in (0.5, 0.25):
        hub.update_scalar("train/loss", loss)
    optimizer = torch.optim.AdamW(layer().parameters())
    trainer = {
        "meta": {"epoch": 1, "dataset_meta": {"CLASSES": ("a",), "PALETTE": {(1, 2, 3)}}},
        "state_dict": layer().state_dict(),
        "message_hub": hub.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(trainer, FOLDER / "mmengine.pth")

    class Module(lightning.LightningModule):
        def __init__(self, milestones: set[int], folder: Path) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.model = layer()

        def training_step(self, batch: torch.Tensor) -> torch.Tensor:
            return 0 * self.model(batch).sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), weight_decay=0)

    class Log(lightning.Callback):
        def state_dict(self) -> dict[str, object]:
            return {"best": np.float64(0.5), "names": np.array(["a", "b"])}

    runner = lightning.Trainer(
        accelerator="cpu",
        max_steps=1,
        logger=False,
        callbacks=[Log()],
        default_root_dir=gettempdir(),
    )
    runner.fit(Module({1, 2}, Path("folder")), torch.utils.data.DataLoader(torch.ones(1, 2)))
    runner.save_checkpoint(FOLDER / "lightning.ckpt")


def layer() -> torch.nn.Linear:
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0]]))
        module.bias.copy_(torch.tensor([3.0]))
    return module


def record_unread_types() -> None:
    """One tensor each of a type that is not read, behind one that is."""
    ones = torch.ones(2)
    quantized = torch.quantize_per_tensor(ones, 0.5, 0, torch.qint8)
    unread = {
        "float8_e4m3fn": ones.to(torch.float8_e4m3fn),
        "float8_e5m2": ones.to(torch.float8_e5m2),
        "qint8": quantized,
        "complex64": ones.to(torch.complex64),
    }
    for kind, tensor in unread.items():
        weights = {"a": ones, "b": tensor}
        torch.save(weights, FOLDER / f"{kind}.pth")
        torch.save(weights, FOLDER / f"{kind}_legacy.pth", _use_new_zipfile_serialization=False)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    base = np.arange(12).reshape(4, 3)
    kinds = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8")
    expected = {kind: base.astype(kind) for kind in kinds}
    expected["bool"] = base % 3 == 0
    expected["scalar"] = np.array(2.5, np.float32)
    expected["empty"] = np.zeros((0, 4), np.float32)
    tensors = state(expected)
    np.savez_compressed(FOLDER / "expected.npz", **expected)
    torch.save(tensors, FOLDER / "plain.pth")
    torch.save(tensors, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "lr": np.float64(0.1)}
    meta = {"epoch": 3, "classes": ("a", "b")}
    torch.save(
        {"meta": meta, "state_dict": tensors, "optimizer": optimizer}, FOLDER / "training.pth"
    )
    record_trainers()
    record_frameworks()
    record_unread_types()
    torch.jit.script(Small()).save(str(FOLDER / "scripted.pt"))
    torch.save(OrderedDict(weight=torch.ones(1), trap=Hostile()), FOLDER / "hostile.pth")
    torch.save(
        OrderedDict(trap=Hostile()),
        FOLDER / "hostile_legacy.pth",
        _use_new_zipfile_serialization=False,
    )
    (FOLDER / "hostile.pkl").write_bytes(pickle.dumps(Hostile(), protocol=2))
    print(sum(path.stat().st_size for path in FOLDER.iterdir()), "bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
