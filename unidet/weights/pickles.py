"""Reads pickles of tensors and arrays without running anything that they name.

A pickle may call whatever it imports. Here it can only reach the stand-ins below, which build plain
records; every other name gives a placeholder, which is refused where it stands among weights.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NoReturn, cast

import numpy as np

from unidet.errors import UserError
from unidet.weights import numpy_pickles
from unidet.weights.pickle_bounds import Allowance, check_bounds
from unidet.weights.placeholders import Placeholders, called, refusal
from unidet.weights.stand_ins import Call, Ordered, Unaltered, brief, sides
from unidet.weights.storage import Storage, Tensor, dtype_kind, storage_kind

JITTOR_MARK = b"HCAJSLHD"
"""The end of a file that `jt.save` wrote: pickle, SHA-1 of the pickle, this."""


class StorageType(Unaltered, str):
    """Stands for a storage class; the value is its element type."""

    __slots__ = ()


class Dtype(Unaltered, str):
    """Stands for a torch.dtype."""

    __slots__ = ()


class Scripted:
    """Stands for a TorchScript module: its attributes, whatever its class."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.attributes = state


def _rebuild_tensor(storage: Storage, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    return Tensor(storage, sides((offset,))[0], sides(size), sides(stride), storage.kind)


def _rebuild_tensor_v3(
    storage: Storage, offset: int, size: Any, stride: Any, _grad: Any, _hooks: Any, kind: Dtype
) -> Tensor:
    if not isinstance(kind, Dtype):
        raise UserError(f"it has a tensor of type {brief(kind)}")
    return Tensor(storage, sides((offset,))[0], sides(size), sides(stride), str(kind))


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _rebuild_from_type(rebuild: Any, _type: Any, arguments: Any, _attributes: Any) -> Tensor:
    """A tensor that carries attributes, or of a class of its own; `rebuild` is one of these."""
    functions = (_rebuild_tensor, _rebuild_tensor_v3, _rebuild_parameter)
    if not isinstance(rebuild, Call) or rebuild.function not in functions:
        raise UserError("a tensor that is rebuilt by something else than PyTorch's own function")
    return cast("Tensor", rebuild(*arguments))


def _load_from_bytes(_content: bytes) -> NoReturn:
    """A tensor within a plain pickle is a file of `torch.save` in it."""
    raise UserError(
        "it holds PyTorch tensors that Python's pickle wrote, as mmdet 3.x dumps its results; "
        "write arrays (.numpy()) in their place, or weights by torch.save"
    )


def _same(value: Any) -> Any:
    return value


_CALLABLES: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): Ordered,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    ("torch._utils", "_rebuild_qtensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    ("torch.storage", "_load_from_bytes"): _load_from_bytes,
    ("torch", "Size"): sides,
    ("torch", "device"): lambda *_: None,
    ("torch.jit._pickle", "build_intlist"): _same,
    ("torch.jit._pickle", "build_doublelist"): _same,
    ("torch.jit._pickle", "build_boollist"): _same,
    ("torch.jit._pickle", "build_tensorlist"): _same,
    ("torch.jit._pickle", "restore_type_tag"): lambda value, _tag: value,
    # jt.save: a variable is its array
    ("jittor", "jittor_core.Var"): _same,
    ("jittor_core", "Var"): _same,
    **numpy_pickles.CALLABLES,
}


class Unpickler(pickle.Unpickler):
    """Turns storages into what `load_storage` returns for a persistent id."""

    def __init__(
        self,
        file: IO[bytes],
        load_storage: Callable[[tuple[Any, ...]], Storage],
        allowance: Allowance,
    ) -> None:
        super().__init__(file, encoding="utf-8")
        self._load_storage = load_storage
        self._allowance = allowance
        self.placeholders = Placeholders()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CALLABLES:
            return Call(_CALLABLES[module, name], self._allowance)
        if module in ("torch", "torch.storage") and (kind := storage_kind(name)):
            return StorageType(kind)
        if module == "torch" and (kind := dtype_kind(name)):
            return Dtype(kind)
        if module.startswith("__torch__"):
            return Scripted
        return self.placeholders.of(module, name)

    def persistent_load(self, pid: Any) -> Storage:
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"):
            raise UserError(f"it refers to {brief(pid)}, which is no tensor storage")
        kind, key, count = pid[1], pid[2], pid[4]
        if not (
            isinstance(kind, StorageType)
            and isinstance(key, (str, int))
            and isinstance(count, int)
            and 0 <= count < 2**63
        ):
            raise UserError("malformed storage record: its type, key or size")
        return self._load_storage(pid)


@dataclass(frozen=True)
class Loaded:
    """What a pickle holds, the number of its opcodes, and the names it has placeholders for."""

    value: Any
    opcodes: int
    placeholders: Placeholders


def load(file: IO[bytes], size: int, load_storage: Callable[[tuple[Any, ...]], Storage]) -> Loaded:
    """The pickle at the file's position, of which `size` bytes follow."""
    opcodes = check_bounds(file, size)
    unpickler = Unpickler(file, load_storage, Allowance.of(opcodes, size))
    return Loaded(unpickler.load(), opcodes, unpickler.placeholders)


def plain(file: IO[bytes], size: int) -> Any:
    """What a pickle of `size` bytes without tensors holds: containers, numbers, text, arrays.

    Raises:
        UserError: it names anything else, or refers to storages outside.
    """

    def no_storage(_: tuple[Any, ...]) -> Storage:
        raise UserError("it refers to tensors that are not inside")

    loaded = load(file, size, no_storage)
    loaded.placeholders.require_none()
    return _without_stand_ins(loaded.value, Allowance.of(loaded.opcodes, size))


def _without_stand_ins(value: Any, allowance: Allowance) -> Any:
    allowance.take("")
    if isinstance(value, numpy_pickles.PickledArray):
        allowance.take("", value.size)
        return value.array()
    if isinstance(value, numpy_pickles.PickledScalar):
        return value.number()
    if isinstance(value, dict):
        return {
            _without_stand_ins(key, allowance): _without_stand_ins(child, allowance)
            for key, child in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(_without_stand_ins(child, allowance) for child in value)
    return value


def flatten(value: Any, allowance: Allowance) -> dict[str, np.ndarray]:
    """Every tensor or array in nested containers and scripted modules, under its dotted name.

    Raises:
        UserError: an object contains itself, a placeholder is among them, a tensor's type is not
            read, or there is more than the allowance.
    """
    arrays: dict[str, np.ndarray] = {}
    _collect(value, "", arrays, set(), allowance)
    return arrays


def text_of(key: Any) -> str:
    """A name among weights; Python 2's, and those of converters, are bytes."""
    return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else str(key)


def _collect(
    value: Any, name: str, arrays: dict[str, np.ndarray], above: set[int], allowance: Allowance
) -> None:
    allowance.take(name)
    if isinstance(value, (Tensor, numpy_pickles.PickledArray)):
        allowance.take(name, value.size)
        if name in arrays:
            raise UserError(f"it holds two arrays with the name {name!r:.80}")
        arrays[name] = value.array(name)
        return
    if (foreign := called(value)) is not None:
        raise refusal(foreign)
    children: list[tuple[Any, Any]]
    if isinstance(value, Scripted):
        children = list(value.attributes.items())
    elif isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, (list, tuple)):
        children = list(enumerate(value))
    else:
        return
    if id(value) in above:
        raise UserError("an object contains itself")
    above.add(id(value))
    for key, child in children:
        text = text_of(key)
        _collect(child, f"{name}.{text}" if name else text, arrays, above, allowance)
    above.discard(id(value))
