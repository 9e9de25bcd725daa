"""Makes Jittor's kernel compilation thread-safe, and loads known kernels without regenerating them.

Jittor generates and compiles new kernels in several threads (`parallel_compile_all_ops`), even if
all are in its cache. Generating is not thread-safe: for a convolution it adds nodes to the graph
and frees others, in lists, counters and a buffer that the threads share without a lock. This
occasionally crashed a process; ThreadSanitizer reports use after free, in a graph of eight
convolutions. The function set as Jittor's `do_compile_hook` lets only one thread generate at a
time, and ThreadSanitizer then reports nothing. Compilers still run in parallel.

Jittor generates each kernel's source in every process and reads the 60 headers it includes, before
it finds the library in its cache: two thirds of a second for the 160 kernels of a first training
step. The hook keeps a record beside each library: the kernel's key, the flags, and a digest of
Jittor's files and of the hook. If the record matches, the hook loads the library at once.
Exceptions are fused operations with relay groups (a convolution made of other operations): Jittor
needs what it finds while generating them.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from unidet.backend import files
from unidet.backend.build import compile_file, compiling

_HOOK = r"""#include <cstdio>
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <mutex>
#include <unistd.h>
#include "fused_op.h"
#include "op_compiler.h"
#include "ops/op_register.h"
#include "opt/tuner_manager.h"
#include "utils/flags.h"

namespace jittor {

DECLARE_FLAG(string, cache_path);
DECLARE_FLAG(string, cc_path);
DECLARE_FLAG(string, cc_flags);
extern jit_op_entry_t (*do_compile_hook)(Op*);
extern unordered_map<string, OpInfo> op_info_map;
static std::mutex writing;
static string others;

static string read(const string& path) {
    std::ifstream file(path);
    return string(std::istreambuf_iterator<char>(file), {});
}

static void write(const string& path, const string& text) {
    const string partial = path + "." + S(getpid());
    std::ofstream(partial) << text;
    rename(partial.c_str(), path.c_str());
}

// As get_symbol_name (jit_compiler.cc).
static string symbol_of(const string& key) {
    size_t end = 0;
    while (end < key.size() && key[end] >= 0) end++;
    const string name = Op::file_name_to_class_name(end ? key.substr(0, end) : "fused");
    return "_ZN6jittor" + S(name.size() + 2) + name + "Op7jit_runEv";
}

static jit_op_entry_t load(const string& library, const string& key) {
    void* handle = dlopen(library.c_str(), RTLD_LAZY | RTLD_DEEPBIND | RTLD_LOCAL);
    return handle ? (jit_op_entry_t)dlsym(handle, symbol_of(key).c_str()) : nullptr;
}

static bool has_parts(Op* op) {
    return op->name() == string("fused") && ((FusedOp*)op)->context->vrm.relay_groups.size();
}

// The same as Jittor's do_compile_inner (op_compiler.cc), but for the lock.
static jit_op_entry_t write_and_compile(Op* op, string& key) {
    std::unique_lock<std::mutex> lock(writing);
    OpCompiler compiler(op);
    for (OpByType* type : op_types) type->post_pass(&compiler);
    string source = compiler.op ? TunerManager(&compiler).tune() : compiler.src;
    op->compile_optimize(source);
    key = op->get_jit_key(get_jk());
    lock.unlock();
    return compiler.compile(key, source);
}

static jit_op_entry_t compile(Op* op) {
    string key = op->get_jit_key(get_jk());
    bool plain = !op->flags.get(NodeFlags::_cuda);
    for (Var* output : op->outputs()) plain &= !output->loop_options;
    if (!plain) return write_and_compile(op, key);
    const string flags = cc_path + cc_flags + get_op_info(op->name()).extra_flags;
    const string wanted = others + "\n" + flags + "\n" + key;
    const string hash = S(std::hash<string>()(key));
    const string record = cache_path + "/jit/" + hash + ".known";
    const string known = read(record);
    const size_t line = known.find('\n');
    if (line != string::npos && known.compare(line + 1, string::npos, wanted) == 0)
        if (auto entry = load(known.substr(0, line), key)) return entry;
    unlink(record.c_str());
    auto entry = write_and_compile(op, key);
    if (!has_parts(op)) write(record, Op::get_filename_from_jit_key(key, ".so") + "\n" + wanted);
    return entry;
}

}  // namespace jittor

extern "C" void install(const char* others) {
    jittor::others = others;
    jittor::do_compile_hook = jittor::compile;
}
extern "C" void take_source(const char* operation, const char* path, const char* digest) {
    jittor::op_info_map.at(operation).source_path = path;
    jittor::others += digest;
}
"""


def manage(jittor_state: str, folder: Path, compiler: Path) -> None:
    """Installs the hook in an imported Jittor. Call it while `cc_flags` are still the core's.

    Args:
        jittor_state: digest of Jittor's files.
        folder: for the compiled hook; specific to one compiler, one Python and one Jittor.
    """
    import jittor as jt

    if hook := _hook(folder, compiler):
        hook.install(f"{jittor_state} {hashlib.sha256(_HOOK.encode()).hexdigest()}".encode())
    else:
        jt.flags.use_parallel_op_compiler = 1  # one thread needs no lock, but takes longer


def take_sources(sources: Mapping[str, Path], folder: Path, compiler: Path) -> None:
    """Lets Jittor generate the kernels of these operations from other sources than its own.

    Without effect if the hook cannot be compiled. `folder` and `compiler` are as for `manage`.

    Args:
        sources: operation name -> source file.
    """
    if hook := _hook(folder, compiler):
        for operation, source in sources.items():
            digest = hashlib.sha256(source.read_bytes()).hexdigest()
            hook.take_source(operation.encode(), os.fsencode(source), digest.encode())


def _hook(folder: Path, compiler: Path) -> ctypes.CDLL | None:
    import jittor as jt

    flags = compiling(jt.flags.cc_flags)
    digest = hashlib.sha256("\n".join([*flags, _HOOK]).encode()).hexdigest()[:12]
    source = folder / f"hook-{digest}.cc"
    library = source.with_suffix(".so")
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        files.write(source, _HOOK)
        if not compile_file(compiler, [*flags, "-shared"], source, library):
            return None
    return ctypes.CDLL(str(library))
