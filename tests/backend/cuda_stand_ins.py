"""Libraries that stand for CUDA's on a machine without a GPU: they agree to everything.

Memory of the device is the host's, a copy is a copy, and kernels and products compute nothing.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

from unidet.backend.toolkits import Toolkit

COPIED = "copied to the host"
_RUNTIME = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int cudaMalloc(void** p, size_t n) { *p = calloc(1, n + 64); return 0; }
int cudaMallocHost(void** p, size_t n) { *p = calloc(1, n + 64); return 0; }
int cudaFree(void* p) { free(p); return 0; }
int cudaFreeHost(void* p) { free(p); return 0; }
int cudaMemcpy(void* to, const void* from, size_t n, int kind) {
    if (kind == 2) fprintf(stderr, "COPIED %zu\\n", n);  // cudaMemcpyDeviceToHost
    memcpy(to, from, n);
    return 0;
}
int cudaMemcpyAsync(void* to, const void* from, size_t n, int kind, void* stream) {
    memcpy(to, from, n);
    return 0;
}
int cudaGetDeviceCount(int* n) { *n = 1; return 0; }
int cudaGetDevice(int* n) { *n = 0; return 0; }
int cudaMemGetInfo(size_t* unused, size_t* all) { *unused = *all = 1ul << 36; return 0; }
int cudaGetDeviceProperties(void* p, int device) { memset(p, 0, 1008); return 0; }
int cudaGetDeviceProperties_v2(void* p, int device) { memset(p, 0, 1008); return 0; }
int cudaStreamCreateWithFlags(void** s, unsigned flags) { *s = (void*)1; return 0; }
int cudaStreamCreate(void** s) { *s = (void*)1; return 0; }
int cudaEventCreate(void** event) { *event = (void*)1; return 0; }
int cudaLaunchHostFunc(void* s, void (*f)(void*), void* data) { f(data); return 0; }
int cudaDeviceGetAttribute(int* value, int which, int device) { *value = 1024; return 0; }
int cudaRuntimeGetVersion(int* version) { *version = 13000; return 0; }
int cudaDriverGetVersion(int* version) { *version = 13000; return 0; }
const char* cudaGetErrorName(int error) { return ""; }
const char* cudaGetErrorString(int error) { return ""; }
void** __cudaRegisterFatBinary(void* p) { static void* handle; return &handle; }
""".replace("COPIED", COPIED)
_HANDLE = "#include <stdlib.h>\nint {name}(void** p) {{ *p = calloc(1, 64); return 0; }}\n"
_SEARCH = """
int {find}(void* a, void* b, void* c, void* d, void* e, void* f, void* g, void* h, int wanted,
           int* count, void* results, void* space, size_t size) {{ *count = 1; return 0; }}
int {size}(void* a, void* b, void* c, void* d, void* e, int f, size_t* n) {{ *n = 0; return 0; }}
int {get}(void* a, void* b, void* c, void* d, void* e, int f, int* count, void* g) {{
    *count = 1;
    return 0;
}}
"""


def _cudnn() -> str:
    source = _HANDLE.format(name="cudnnCreate")
    for part in ("Forward", "BackwardData", "BackwardFilter"):
        source += _SEARCH.format(
            find=f"cudnnFindConvolution{part}AlgorithmEx",
            size=f"cudnnGetConvolution{part}WorkspaceSize",
            get=f"cudnnGetConvolution{part}Algorithm_v7",
        )
    return source + 'const char* cudnnGetErrorString(int e) { return ""; }\n'


def stand_in(toolkit: Toolkit, folder: Path) -> Toolkit:
    """The toolkit with libraries of the same names and functions, made by gcc in `folder`."""
    sources = {
        "cudart": _RUNTIME,
        "cublas": _HANDLE.format(name="cublasCreate_v2"),
        "cublasLt": "",
        "curand": _HANDLE.format(name="curandCreateGenerator"),
        "cudnn": _cudnn(),
    }
    folder.mkdir()
    libraries = {}
    for name, source in sources.items():
        real = toolkit.libraries[name]
        written = set(re.findall(r"(\w+)\(", source)) | {"free", "calloc"}
        names = _functions(real) - written
        text = source + "\n".join(
            f"long {function}() {{ return 0; }}" for function in sorted(names)
        )
        number = re.search(r"\.so\.\d+", real.name)
        assert number is not None
        libraries[name] = folder / f"lib{name}{number.group()}"
        flags = ["-w", "-shared", "-fPIC", f"-Wl,-soname,{libraries[name].name}", "-x", "c", "-"]
        subprocess.run(["gcc", *flags, "-o", libraries[name]], input=text, text=True, check=True)
    (folder / "libcudadevrt.a").symlink_to(toolkit.libraries["cudart"].with_name("libcudadevrt.a"))
    return replace(toolkit, libraries=libraries)


def _functions(library: Path) -> set[str]:
    """All that a library and its parts (libcudnn_ops beside libcudnn) offer to C."""
    number = library.name.partition(".so.")[2].partition(".")[0]
    parts = {library, *library.parent.glob(f"{library.name.partition('.')[0]}_*.so.{number}")}
    names = set()
    for part in parts:
        command = ["nm", "-D", "--defined-only", str(part)]
        for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
            *_, kind, name = line.split()
            if kind in "TWi":
                names.add(name.partition("@")[0])
    return {name for name in names if re.fullmatch(r"(?!_Z|_init|_fini)[A-Za-z_]\w*", name)}
