"""CUDA on this machine: the driver with its GPUs, and a toolkit that is compatible with them.

Nothing here imports Jittor.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache

from unidet.backend.toolkits import Toolkit, toolkits
from unidet.errors import UserError

REMEDY = "pip install 'unidet[cuda]' brings one"
OLDEST_CAPABILITY = 50
_DRIVER = "libcuda.so.1"
_OUT_OF_MEMORY, _STUB, _UNAVAILABLE, _NO_DEVICE = 2, 34, 46, 100  # CUDA_ERROR_… (cuda.h)
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR (cuda.h)


class NoCuda(UserError):
    """CUDA cannot be used; the message says why and what would help, in one line."""

    def refusal(self) -> UserError:
        """The error for `device=cuda`."""
        return UserError(f"device=cuda: {self}; or use device=cpu")


class NoGpu(NoCuda):
    """There is no GPU, or CUDA_VISIBLE_DEVICES hides all."""


@dataclass(frozen=True)
class Gpu:
    """`capability`: the compute capability, times 10: 90 for 9.0."""

    name: str
    capability: int


@dataclass(frozen=True)
class Driver:
    """`version`: the newest CUDA version that the driver supports, e.g. (13, 0)."""

    version: tuple[int, int]
    gpus: tuple[Gpu, ...]

    @property
    def names(self) -> str:
        return ", ".join(f"{gpu.name} (sm_{gpu.capability})" for gpu in self.gpus)

    @property
    def summary(self) -> str:
        return f"{self.names}, driver for CUDA {self.version[0]}.{self.version[1]}"


@dataclass(frozen=True)
class Cuda:
    """A driver with at least one GPU, and a compatible toolkit."""

    driver: Driver
    toolkit: Toolkit

    @property
    def capabilities(self) -> list[int]:
        return sorted({gpu.capability for gpu in self.driver.gpus})

    @property
    def summary(self) -> str:
        return f"{self.driver.names}, {self.toolkit.summary}"


def find_cuda() -> Cuda:
    """The driver, and the first complete toolkit that is compatible with it and its GPUs.

    Raises:
        NoCuda: a part is missing, too old or incompatible.
    """
    driver = find_driver()
    return Cuda(driver, find_toolkit(driver))


def require_cuda() -> None:
    """Checks what `device=cuda` needs, without testing it.

    Raises:
        UserError: a part is missing or incompatible.
    """
    try:
        find_cuda()
    except NoCuda as problem:
        raise problem.refusal() from problem


@lru_cache(maxsize=2)
def find_toolkit(driver: Driver | None = None) -> Toolkit:
    """The first complete toolkit; with `driver`, the first that is compatible with it.

    Raises:
        NoCuda: there is none; says what is wrong with the most suitable one.
    """
    lacks, misfits = [], []
    for toolkit in toolkits():
        if isinstance(toolkit, str):
            lacks.append(f"{toolkit}; {REMEDY}")
        elif misfit := _misfit(driver, toolkit) if driver else "":
            misfits.append(misfit)
        else:
            return toolkit
    raise NoCuda([*misfits, *lacks, f"no CUDA toolkit (nvcc): {REMEDY}"][0])


def _misfit(driver: Driver, toolkit: Toolkit) -> str:
    """Why driver and toolkit are incompatible, and how to fix it; empty if they are compatible."""
    if toolkit.version[0] > driver.version[0]:
        newest = ".".join(map(str, driver.version))
        return (
            f"the NVIDIA driver runs CUDA up to {newest}, the toolkit {toolkit.nvcc} is of CUDA "
            f"{toolkit.version[0]}: update the driver, or install a toolkit of CUDA "
            f"{driver.version[0]} and put its nvcc on PATH"
        )
    known = toolkit.capabilities or _usual_capabilities(toolkit)
    for gpu in driver.gpus:
        if gpu.capability not in known or gpu.capability < OLDEST_CAPABILITY:
            other = "a newer" if gpu.capability > max(known) else "an older"
            return (
                f"CUDA {toolkit.version[0]}.{toolkit.version[1]} does not build for {gpu.name} "
                f"(compute capability {gpu.capability / 10}): hide it with CUDA_VISIBLE_DEVICES, "
                f"or put the nvcc of {other} toolkit on PATH"
            )
    return ""


def _usual_capabilities(toolkit: Toolkit) -> range:
    """Compute capabilities assumed for a compiler that does not list them."""
    return range(75 if toolkit.version[0] >= 13 else OLDEST_CAPABILITY, 1000)


def find_driver() -> Driver:
    """The driver and its GPUs, as libcuda reports them; it respects CUDA_VISIBLE_DEVICES.

    Raises:
        NoGpu: there is no driver, or it shows no GPU.
        NoCuda: the driver does not start.
    """
    try:
        library = ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise NoGpu(f"no NVIDIA driver ({_DRIVER}), without which no GPU is seen") from error
    status = library.cuInit(0)
    if status in (_NO_DEVICE, _STUB):
        raise NoGpu("the NVIDIA driver shows no GPU (is CUDA_VISIBLE_DEVICES empty?)")
    if status != 0:
        raise NoCuda(
            f"the NVIDIA driver does not start (cuInit returned {status}): nvidia-smi may tell "
            "more; after an update of the driver, restart the machine"
        )
    gpus = tuple(_gpu(library, index) for index in range(_ask(library.cuDeviceGetCount)))
    if not gpus:
        raise NoGpu("the NVIDIA driver shows no GPU (is CUDA_VISIBLE_DEVICES empty?)")
    version = _ask(library.cuDriverGetVersion)
    return Driver((version // 1000, version % 1000 // 10), gpus)


def require_free() -> None:
    """Opens and closes the first GPU. If that fails, Jittor would end the process.

    Raises:
        NoCuda: its memory is full, or another process uses it exclusively.
    """
    library = ctypes.CDLL(_DRIVER)
    status = library.cuDevicePrimaryCtxRetain(ctypes.byref(ctypes.c_void_p()), 0)
    if status != 0:
        why = {_OUT_OF_MEMORY: "its memory is full", _UNAVAILABLE: "another process holds it"}
        raise NoCuda(
            f"the GPU cannot be opened ({why.get(status, f'error {status}')}): wait for the "
            "processes that nvidia-smi names, or choose another GPU with CUDA_VISIBLE_DEVICES"
        )
    library.cuDevicePrimaryCtxRelease_v2(0)


def _gpu(library: ctypes.CDLL, index: int) -> Gpu:
    name = ctypes.create_string_buffer(256)
    library.cuDeviceGetName(name, len(name), index)
    major, minor = (
        _ask(library.cuDeviceGetAttribute, attribute, index) for attribute in (_MAJOR, _MINOR)
    )
    return Gpu(name.value.decode(errors="replace"), 10 * major + minor)


def _ask(question: ctypes._NamedFuncPointer, *arguments: int) -> int:
    """The number that a driver function writes; 0 if it fails."""
    answer = ctypes.c_int(0)
    status = question(ctypes.byref(answer), *arguments)
    return answer.value if status == 0 else 0
