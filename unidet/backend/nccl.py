"""Sums over processes, directly between GPUs, with NVIDIA's library NCCL if it is installed.

Jittor's own initialization of NCCL assumes that processes share GPUs, and stays off, if there are
more processes than visible GPUs. Here each process sees only its own GPU (process_gpus.py), so
Jittor's operations are built with a different initialization. Without NCCL the sums go through Open
MPI: Jittor copies inputs to the host and results back.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

from unidet.backend import files
from unidet.backend.toolkits import SYSTEM_FOLDERS, wheel_folders

START = """\
#include "nccl_wrapper.h"

const char* _cudaGetErrorEnum(ncclResult_t error) { return ncclGetErrorString(error); }

namespace jittor {

ncclComm_t comm;
ncclUniqueId id;
int nccl_device_id = 0;

struct Start {
    Start() {
        if (mpi_world_rank == 0) checkCudaErrors(ncclGetUniqueId(&id));
        MPI_CHECK(MPI_Bcast((void*)&id, sizeof(id), MPI_BYTE, 0, MPI_COMM_WORLD));
        checkCudaErrors(ncclCommInitRank(&comm, mpi_world_size, id, mpi_world_rank));
        use_device_mpi = true;
    }
};
static Start start;

}  // namespace jittor
"""
_OPERATIONS = ("nccl_all_reduce", "nccl_broadcast")


class Nccl(NamedTuple):
    headers: Path
    library: Path


def find_nccl() -> Nccl | None:
    """NCCL of the wheel (`pip install nvidia-nccl-cu13`), else of the system; None without one."""
    wheels = [folder for folder in wheel_folders() if folder.name == "nccl"]
    places = [(wheel / "include", wheel / "lib") for wheel in wheels]
    for headers, libraries in [*places, SYSTEM_FOLDERS]:
        library = libraries / "libnccl.so.2"
        if (headers / "nccl.h").is_file() and library.is_file():
            return Nccl(headers, library)
    return None


def add_collectives(nccl: Nccl, folder: Path) -> None:
    """Connects the processes of `mpirun`, and lets Jittor sum with NCCL. All processes call it.

    Args:
        folder: for the source of the initialization.
    """
    import jittor as jt

    ctypes.CDLL(str(nccl.library), ctypes.RTLD_GLOBAL)
    flags = f' -I"{nccl.headers}" {jt.compile_extern.mpi_compile_flags} '
    sources = [str(source) for source in sources_of(Path(jt.flags.jittor_path), folder)]
    jt.compiler.compile_custom_ops(sources, extra_flags=flags)


def sources_of(jittor: Path, folder: Path) -> list[Path]:
    """Jittor's operations, and the initialization, which is written to `folder`."""
    start = folder / "nccl_start.cc"
    files.write(start, START)
    nccl = jittor / "extern" / "cuda" / "nccl"
    sources = [nccl / "ops" / f"{name}_op.{kind}" for name in _OPERATIONS for kind in ("cc", "h")]
    return [start, nccl / "inc" / "nccl_wrapper.h", *sources]
