"""Jittor's 2-D convolutions with cuDNN, in copies with two changes.

Jittor lets cuDNN accumulate in the type of the result: float16 loses precision, and bfloat16 is
rejected. The copies accumulate in float32 for all types. Jittor also caches the fastest algorithm
by shape alone, although another type may not support it; the copies include types in the cache key.
"""

from __future__ import annotations

from pathlib import Path

from unidet.backend import files

NAMES = ("cudnn_conv", "cudnn_conv_backward_x", "cudnn_conv_backward_w")
_CHANGES = (
    ("CUDNN_CROSS_CORRELATION, getDataType<Ty>()", "CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT"),
    ("    jk.clear();\n", '    jk.clear();\n    jk << "@Tx,@Tw,@Ty,";\n'),
)


def copy_convolutions(jittor: Path, folder: Path) -> list[Path]:
    """Writes the changed sources to `folder` and returns their paths.

    Args:
        jittor: folder of the installed package.

    Raises:
        RuntimeError: the sources are not those of Jittor 1.3.11.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for name in NAMES:
        for kind in ("cc", "h"):
            source = jittor / "extern" / "cuda" / "cudnn" / "ops" / f"{name}_op.{kind}"
            copies.append(folder / source.name)
            files.write(copies[-1], files.changed(source, _CHANGES if kind == "cc" else ()))
    return copies
