"""A GPU whose memory is full: how Jittor and NVIDIA's libraries say so, and what helps everywhere.

Jittor's memory of a GPU is not usable afterwards: the process has to end.
"""

from __future__ import annotations

_SAID = (
    "Unable to alloc cuda device memory",  # cuda_device_allocator.cc
    "GPU memory is overflow",  # mem_info.cc
    "cudaErrorMemoryAllocation",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
ALWAYS_HELPS = (
    "end other programs on the GPU (nvidia-smi lists them), or hide it from this one "
    "(CUDA_VISIBLE_DEVICES= before the command), which then runs on the processor"
)


def is_full(error: BaseException) -> bool:
    """Whether this is what a full GPU ends in."""
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)
