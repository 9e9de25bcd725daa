"""Sums over processes from GPU to GPU, by NVIDIA's library NCCL where it is installed.

Jittor's own start of it takes a machine with more processes than GPUs in sight for one that shares
GPUs, and stays away; here each process sees its own GPU alone (process_gpus.py). So its operations
are built beside a start of our own. Without NCCL the same sums go through Open MPI: Jittor copies
what they take to the host and what they give back.
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
    """That of the wheel (`pip install nvidia-nccl-cu13`), then the system's; None without one."""
    wheels = [folder for folder in wheel_folders() if folder.name == "nccl"]
    places = [(wheel / "include", wheel / "lib") for wheel in wheels]
    for headers, libraries in [*places, SYSTEM_FOLDERS]:
        library = libraries / "libnccl.so.2"
        if (headers / "nccl.h").is_file() and library.is_file():
            return Nccl(headers, library)
    return None


def add_collectives(nccl: Nccl, folder: Path) -> None:
    """Joins the processes of `mpirun`, which all call this, and gives Jittor's sums to NCCL.

    Args:
        folder: where the start's source is kept.
    """
    import jittor as jt

    ctypes.CDLL(str(nccl.library), ctypes.RTLD_GLOBAL)
    flags = f' -I"{nccl.headers}" {jt.compile_extern.mpi_compile_flags} '
    sources = [str(source) for source in sources_of(Path(jt.flags.jittor_path), folder)]
    jt.compiler.compile_custom_ops(sources, extra_flags=flags)


def sources_of(jittor: Path, folder: Path) -> list[Path]:
    """Jittor's operations, and the start, which is written to `folder`."""
    start = folder / "nccl_start.cc"
    files.write(start, START)
    nccl = jittor / "extern" / "cuda" / "nccl"
    sources = [nccl / "ops" / f"{name}_op.{kind}" for name in _OPERATIONS for kind in ("cc", "h")]
    return [start, nccl / "inc" / "nccl_wrapper.h", *sources]
