"""1x1 convolution, in inference as a matrix product.

On a CPU Jittor's own goes through oneDNN's blocked layouts and back; a product of (out, in) with
the image's (in, cells) needs neither and takes a third to two thirds of the time. Training keeps
oneDNN: it gains little there, and PyTorch uses the same, so that gradients round alike. N images,
C channels, H, W cells.
"""

from __future__ import annotations

import jittor as jt
from jittor import nn

MOST_IMAGES = 16
"""Each image is a product of its own; beyond this many (small) ones a convolution is faster."""


def pointwise_conv(feats_NCHW: jt.Var, weight_OC11: jt.Var) -> jt.Var:
    """(N, C, H, W) and (O, C, 1, 1) -> (N, O, H, W). ValueError where the channels differ."""
    count, channels, height, width = feats_NCHW.shape
    if tuple(weight_OC11.shape[1:]) != (channels, 1, 1):
        shapes = f"{feats_NCHW.shape} and {weight_OC11.shape}"
        raise ValueError(f"pointwise_conv takes (N,C,H,W) and (O,C,1,1), not {shapes}")
    if jt.flags.use_cuda or not jt.flags.no_grad or not 0 < count <= MOST_IMAGES:
        return nn.conv2d(feats_NCHW, weight_OC11)
    matrix = weight_OC11.reshape((-1, channels))
    cells = feats_NCHW.reshape((count, channels, height * width))
    products = [jt.matmul(matrix, cells[image]) for image in range(count)]
    stacked = products[0] if count == 1 else jt.stack(products)
    return stacked.reshape((count, -1, height, width))
