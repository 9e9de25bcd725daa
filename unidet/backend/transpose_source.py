"""Transposes that stay on the GPU.

With CUDA, Jittor 1.3.11 transposes with the library cuTT, which it would download. Without cuTT, a
transpose that moves the last axis runs on the host, with copies there and back. Jittor's fused
kernels can transpose on the GPU (`fuse_transpose`). This operation has the name of cuTT's and
passes every transpose to them.
"""

from __future__ import annotations

from pathlib import Path

from unidet.backend import files

_HEADER = """\
#pragma once
#include "op.h"

namespace jittor {

struct CuttTransposeOp : Op {
    CuttTransposeOp(Var* x, NanoVector axes=NanoVector());
    const char* name() const override { return "cutt_transpose"; }
    DECLARE_jit_run;
};

}
"""
_SOURCE = """\
#include "var.h"
#include "cutt_transpose_op.h"
#include "ops/op_register.h"

namespace jittor {

#ifndef JIT
CuttTransposeOp::CuttTransposeOp(Var* x, NanoVector axes) {
    static auto fused = get_op_info("fuse_transpose").get_constructor<VarPtr, Var*, NanoVector>();
    forward(fused(x, axes));
}

void CuttTransposeOp::jit_prepare(JK& jk) {}
#else
void CuttTransposeOp::jit_run() {}
#endif

}
"""


def write_transpose(folder: Path) -> list[Path]:
    """Writes the operation's header and source to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    header, source = folder / "cutt_transpose_op.h", folder / "cutt_transpose_op.cc"
    files.write(header, _HEADER)
    files.write(source, _SOURCE)
    return [header, source]
