"""Jittor's 2-D convolutions by cuDNN, in copies that differ in two places.

Jittor has cuDNN add up in the type of the result: float16 loses digits so, and bfloat16 is refused.
Here sums are in float32, whatever goes in. And Jittor remembers the fastest algorithm for shapes
alone, though another type may have no such algorithm; here types are part of what it looks up.
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
    """The sources in `folder`, changed; Jittor is its installed package.

    Raises:
        RuntimeError: they are not those of Jittor 1.3.11.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for name in NAMES:
        for kind in ("cc", "h"):
            source = jittor / "extern" / "cuda" / "cudnn" / "ops" / f"{name}_op.{kind}"
            copies.append(folder / source.name)
            files.write(copies[-1], files.changed(source, _CHANGES if kind == "cc" else ()))
    return copies
