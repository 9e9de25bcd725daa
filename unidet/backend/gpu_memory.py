"""Full GPU memory: recognizes errors of Jittor and NVIDIA's libraries, and explains them.

Jittor's GPU memory is not usable afterwards, so the process has to end.
"""

from __future__ import annotations

_SAID = (
    "Unable to alloc cuda device memory",  # cuda_device_allocator.cc
    "GPU memory is overflow",  # mem_info.cc
    "cudaErrorMemoryAllocation",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
_ALWAYS_HELPS = (
    "end other programs on the GPU (nvidia-smi lists them), or hide it from this one "
    "(CUDA_VISIBLE_DEVICES= before the command), which then runs on the processor"
)


def is_full(error: BaseException) -> bool:
    """Whether `error` means that the GPU's memory is full."""
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


def when_full(kept: str, setting: str = "") -> str:
    """The message for a full GPU, in one line.

    Args:
        kept: what of the work so far is kept.
        setting: a setting that needs less memory.
    """
    ways = f"give {setting}, {_ALWAYS_HELPS}" if setting else _ALWAYS_HELPS
    return f"the GPU's memory is full: {ways}; {kept}"
