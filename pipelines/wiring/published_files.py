"""OpenAI's CLIP as files: where the study names them, and that they are CLIP's."""

from __future__ import annotations

from pathlib import Path

from unidet.config.stages import PublishedClip
from unidet.config.study import Config
from unidet.errors import UserError, absence
from unidet.store.hashing import sha256_file

MERGES_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES_SOURCE = "https://github.com/openai/CLIP/raw/main/clip/bpe_simple_vocab_16e6.txt.gz"


def published_files(config: Config, name: str) -> dict[str, Path]:
    """Checkpoint and BPE merges enter the stage's key by content.

    Raises:
        UserError: a file is missing, or the merges are not CLIP's.
    """
    clip = config.clip
    if not isinstance(clip, PublishedClip):
        return {}
    root = Path(config.data.root)
    files = {"checkpoint": root / clip.checkpoint, "merges": root / clip.merges}
    for name, path in files.items():
        if not path.is_file():
            source = f"; fetch it: curl -L -o '{path}' {MERGES_SOURCE}" if name == "merges" else ""
            raise UserError(f"clip.{name}: {path} {absence(path)}{source}")
    digest = sha256_file(files["merges"])
    if digest != MERGES_SHA256:
        raise UserError(
            f"clip.merges: {files['merges']} has sha256 {digest}, CLIP's file {MERGES_SHA256}; "
            f"fetch it again: curl -L -o '{files['merges']}' {MERGES_SOURCE}"
        )
    return files
