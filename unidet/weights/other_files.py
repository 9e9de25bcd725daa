"""Files that are given as checkpoints and hold no weights that can be read: what they are."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

from unidet.errors import HEAD, UserError, kind_among, not_binary, other_kind, require_end

ZIP = b"PK\x03\x04"
_GIVE = "give the checkpoint that it was made from"
# Where a signature stands, and what it says; as file(1) and the formats' own sources have them.
_KINDS = (
    (0, b"ftrt", "a TensorRT engine"),
    (0, b"ptrt", "a TensorRT engine"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"\x89HDF", "an HDF5 file, such as Keras writes"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"<?xml", "an XML document, such as OpenVINO's"),
    (0, b"\x93NUMPY", "one numpy array (.npy)"),
)
_SUFFIXES = {
    ".onnx": "an ONNX graph",
    ".engine": "a TensorRT engine",
    ".trt": "a TensorRT engine",
    ".plan": "a TensorRT engine",
    ".tflite": "a TensorFlow Lite model",
    ".pb": "a TensorFlow graph",
    ".mlmodel": "a Core ML model",
    ".mnn": "an MNN model",
    ".rknn": "an RKNN model",
    ".pdmodel": "a Paddle graph",
}
_USUAL = ("model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
_SUFFIXES_OF_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".npz", ".pkl")


def require_file(path: Path, missing: str) -> None:
    """UserError if there is no file at this path: with `missing`, or that it is a folder."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder{_inside(path)}")
    if not path.is_file():
        raise UserError(missing)


def require_archive(path: Path) -> None:
    """UserError if a file that should be a zip archive is known to be something else.

    Raises:
        OSError: it cannot be read.
    """
    require_end(path)
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head.startswith(ZIP) and (reason := not_binary(head)):
        raise UserError(reason)


def _inside(folder: Path) -> str:
    """What to give instead of a folder, as part of a message."""
    names = sorted(item.name for item in folder.iterdir() if item.is_file())
    if "data.pkl" in names:
        return " that a checkpoint was unpacked to; give the checkpoint itself, as it was fetched"
    known = [name for name in _USUAL if name in names]
    known += [name for name in names if name.endswith(_SUFFIXES_OF_WEIGHTS)]
    return f"; give a file in it, such as {folder / known[0]}" if known else ", must be a file"


def unknown(path: Path, head: bytes) -> str:
    """What a file with these first bytes is."""
    if reason := other_kind(head):
        return reason
    kind = kind_among(_KINDS, head) or _SUFFIXES.get(path.suffix.lower(), "")
    if kind:
        return f"is {kind}, which holds no weights by name; {_GIVE}"
    if reason := not_binary(head):
        return reason
    with path.open("rb") as file:
        if file.read(262).endswith(b"ustar"):
            return "is packed (tar): unpack it first"
    return "is neither a PyTorch checkpoint, nor safetensors, nor npz"


def is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file begins with the length of a header, and the header; some lengths begin like a
    pickle.
    """
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size


def elsewhere(_: tuple[Any, ...]) -> NoReturn:
    """UserError where a pickle refers to tensors before any could be read."""
    raise UserError(
        "it was unpacked from a checkpoint, whose tensors lie beside it; give the checkpoint itself"
    )


def graph_in(names: Collection[str]) -> str:
    """What an archive with these members is, as part of a message; empty if unknown."""
    if any(
        name.endswith(("/models/model.json", "serialized_exported_program.json")) for name in names
    ):
        return f"a program of torch.export (.pt2); {_GIVE}"
    return ""
