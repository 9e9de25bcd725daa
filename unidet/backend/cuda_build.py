"""Lets Jittor 1.3.11 compile with current CUDA toolkits, without changing its installation.

It removes three obstacles:

- Jittor expects headers and libraries in one folder beside `nvcc`. `lay_out` makes such a folder of
  links.
- Jittor compiles as C++14 and reads two members that CUDA 13 removed from `cudaDeviceProp`. CUDA
  13's templates need C++17: `bin/nvcc` in that folder is a script that sets it. A header, included
  before all others, replaces the two members.
- Jittor uses names of cuDNN 8 and functions that cuDNN 9 removed. `add_operations` builds only its
  2-D convolutions, the ones that unidet uses, from Jittor's sources (cudnn_sources.py), and
  transposes (transpose_source.py).
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

from unidet.backend import files
from unidet.backend.cudnn_sources import copy_convolutions
from unidet.backend.gpu import Cuda
from unidet.backend.toolkits import Toolkit
from unidet.backend.transpose_source import write_transpose

_NVCC = """\
#!/bin/sh
# Jittor says C++14; CUB and Thrust of CUDA 13 want C++17.
for word; do
    shift
    [ "$word" = -std=c++14 ] && word=-std=c++17
    set -- "$@" "$word"
done
exec "{nvcc}" "$@"
"""
_HEADER = """\
#include <cuda_runtime.h>
#if CUDART_VERSION >= 13000
// Gone from cudaDeviceProp; Jittor's helper_cuda.h reads them in functions that nobody calls.
#define computeMode major
#define clockRate major
#ifdef __CUDACC__
#include <iterator>
// Names that CUB has dropped; Jittor's softmax (Max) and nonzero still use them.
namespace cub {
struct Max {
    template <class T> __host__ __device__ T operator()(const T& a, const T& b) const {
        return a < b ? b : a;
    }
};
template <class T> struct ReadOnlyIterator {
    typedef T value_type;
    typedef T reference;
    typedef const T* pointer;
    typedef std::ptrdiff_t difference_type;
    typedef std::random_access_iterator_tag iterator_category;
};
template <class T> struct CountingInputIterator : ReadOnlyIterator<T> {
    T at;
    __host__ __device__ explicit CountingInputIterator(T at) : at(at) {}
    __host__ __device__ T operator*() const { return at; }
    __host__ __device__ T operator[](std::ptrdiff_t n) const { return at + (T)n; }
    __host__ __device__ CountingInputIterator operator+(std::ptrdiff_t n) const {
        return CountingInputIterator(at + (T)n);
    }
};
template <class T, class Function, class Iterator>
struct TransformInputIterator : ReadOnlyIterator<T> {
    Iterator at;
    Function function;
    __host__ __device__ TransformInputIterator(Iterator at, Function function)
        : at(at), function(function) {}
    __host__ __device__ T operator*() const { return function(*at); }
    __host__ __device__ T operator[](std::ptrdiff_t n) const { return function(at[n]); }
    __host__ __device__ TransformInputIterator operator+(std::ptrdiff_t n) const {
        return TransformInputIterator(at + n, function);
    }
};
}
#endif
#endif
"""
# Jittor's cuda_limits.h needs only these eight constants of the image library NPP.
_NPP = """\
#define NPP_MIN_32U (0)
#define NPP_MAX_32U (4294967295U)
#define NPP_MIN_32S (-2147483647 - 1)
#define NPP_MAX_32S (2147483647)
#define NPP_MIN_64U (0)
#define NPP_MAX_64U (18446744073709551615ULL)
#define NPP_MIN_64S (-9223372036854775807LL - 1)
#define NPP_MAX_64S (9223372036854775807LL)
"""
_HEADERS_SOUGHT = ("cublas.h", "curand.h")  # compile_extern.py looks for them in `include`


def lay_out(toolkit: Toolkit, folder: Path) -> Path:
    """Makes `bin/nvcc`, `include` and `lib64` in `folder`; returns the path of that nvcc."""
    for name in ("bin", "include", "lib64"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    nvcc = folder / "bin" / "nvcc"
    files.write(nvcc, _NVCC.format(nvcc=toolkit.nvcc))
    nvcc.chmod(0o755)
    files.write(folder / "include" / "unidet_cuda.h", _HEADER)
    files.write(folder / "include" / "npp.h", _NPP)
    for name, header in _linked_headers(toolkit).items():
        files.link(folder / "include" / name, header)
    for name, library in toolkit.libraries.items():
        files.link(folder / "lib64" / f"lib{name}.so", library)
    static = toolkit.libraries["cudart"].with_name("libcudadevrt.a")  # nvcc always links this
    if static.is_file():
        files.link(folder / "lib64" / static.name, static)
    return nvcc


def _linked_headers(toolkit: Toolkit) -> dict[str, Path]:
    """File name -> header to link: those Jittor expects in one place, and those that wheels add.

    Wheels only add names that the compiler's own folders lack. A whole folder of wheels would also
    bring its CUB and runtime headers; the compiler searches its own folders last.
    """
    own = {entry.name: entry for place in toolkit.headers for entry in place.iterdir()}
    linked = {name: own[name] for name in _HEADERS_SOUGHT if name in own}
    for place in toolkit.more_headers:
        for entry in place.iterdir():
            if entry.name not in own:
                linked.setdefault(entry.name, entry)
    return linked


def core_flags(toolkit: Toolkit, folder: Path) -> str:
    """Options for Jittor's `cc_flags`: include folders, and the header that comes first."""
    folders = " ".join(f'-I"{place}"' for place in toolkit.headers)
    return f'-O1 -w {folders} -include "{folder}/include/unidet_cuda.h"'


def load_libraries(toolkit: Toolkit) -> None:
    """Loads the toolkit's libraries, so that Jittor's libraries resolve to them by name.

    By default cuBLAS and cuDNN round float32 to 10 bits (TF32) in convolutions on GPUs since 2020.
    This sets NVIDIA's variable that forbids it, unless the user has set it.
    """
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    for name in ("cudart", "cublasLt", "cublas", "curand", "cudnn"):
        ctypes.CDLL(str(toolkit.libraries[name]))


def settle_kernels(cuda: Cuda) -> None:
    """Sets the kernel and memory flags of an imported Jittor.

    Kernels are built as machine code for this machine's GPUs only: PTX of a toolkit newer than the
    driver would not run. `--use_fast_math` is removed, so that exp, log and division round as on
    the CPU.
    """
    import jittor as jt

    flags = jt.flags.nvcc_flags.replace("--use_fast_math", "")
    flags = re.sub(r"-arch=compute_\d+|-code=sm_\d+", "", flags)
    for capability in cuda.capabilities:
        flags += f" -gencode=arch=compute_{capability},code=sm_{capability} "
    jt.flags.nvcc_flags = flags
    # Numpy arrays go to the GPU in one asynchronous copy. By default Jittor first moves the target
    # buffer to the host, waits for the GPU, fills it and copies it back.
    jt.flags.use_cuda_host_allocator = 0
    jt.flags.cc_flags = jt.flags.cc_flags.replace("-O1", "")


def add_operations(folder: Path) -> None:
    """Registers cuDNN's 2-D convolutions and transposes with an imported Jittor."""
    import jittor as jt

    jittor = Path(jt.flags.jittor_path)
    cuda = jittor / "extern" / "cuda"
    sources = copy_convolutions(jittor, folder / "cudnn")
    sources += [cuda / "cudnn" / "src" / name for name in ("cudnn_wrapper.cc", "helper_cudnn.cc")]
    sources += write_transpose(folder / "transpose")
    built = Path(jt.flags.cache_path) / "cuda"
    jt.compiler.compile_custom_ops(
        [str(source) for source in sources],
        extra_flags=(
            f' -I"{cuda}/inc" -I"{cuda}/cudnn/inc" -lcudnn -L"{folder}/lib64"'
            f' -L"{built}" -llibcuda_extern '
        ),
    )
