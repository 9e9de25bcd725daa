"""Placeholders for unknown objects in a pickle.

A trainer's checkpoint holds callbacks, logs and settings beside the weights. They are built as
empty objects that take every call and keep nothing; where weights should be they are refused by
name.
"""

from __future__ import annotations

from typing import Any

from unidet.errors import UserError

MAX_NAMES = 1000
"""Different names in one pickle; each takes a class of its own, a thousand bytes for a few."""
MAX_LETTERS = 1000
"""Of one name; a pickle of a few letters can join long parts again and again."""


class Placeholder:
    """Stands for an object, class or function named `called`."""

    __slots__ = ()
    called = ""

    def __new__(cls, *_: Any, **__: Any) -> Placeholder:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, *_: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...

    def append(self, *_: Any) -> None: ...

    extend = add = append


class Settings(Placeholder):
    """Stands for argparse's Namespace, as which trainers save their options, and keeps these."""

    __slots__ = ("options",)

    def __setstate__(self, state: Any, *_: Any) -> None:
        self.options = state


_TENSORS = {
    "torch._utils._rebuild_meta_tensor_no_storage": "tensors without values (device 'meta'); save "
    "the network after its weights are loaded",
    "torch._utils._rebuild_sparse_tensor": "sparse tensors; save them after .to_dense()",
    "torch._utils._rebuild_sparse_csr_tensor": "sparse tensors; save them after .to_dense()",
    "torch._utils._rebuild_wrapper_subclass": "tensors of a class of their own; save plain ones",
    "torch.distributed.tensor.DTensor": "tensors that are divided between processes (DTensor); "
    "save them whole, after .full_tensor()",
    "torch.distributed._shard.sharded_tensor.api.ShardedTensor": "tensors that are divided between "
    "processes (FSDP); save a full state_dict",
}
"""Functions of PyTorch for other tensors than those with values in one place."""


class Placeholders:
    """One placeholder for each name, in the order in which a pickle names them."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Placeholder]] = {}

    def of(self, module: str, name: str) -> type[Placeholder]:
        """UserError where there are more, or a longer one, than any checkpoint has."""
        if len(module) + len(name) > MAX_LETTERS:
            raise UserError(f"it names a class by more than {MAX_LETTERS} letters")
        called = f"{module}.{name}"
        if called not in self._classes:
            if len(self._classes) == MAX_NAMES:
                raise UserError(f"it names more than {MAX_NAMES} classes, which no checkpoint does")
            namespace = {"__slots__": (), "called": called}
            kind = Settings if called == "argparse.Namespace" else Placeholder
            self._classes[called] = type("Placeholder", (kind,), namespace)
        return self._classes[called]

    def require_none(self) -> None:
        """UserError with the first name, where there is one."""
        for called in self._classes:
            raise refusal(called)


def called(value: Any) -> str | None:
    """The name behind a placeholder or its class; None for anything else."""
    kind = value if isinstance(value, type) else type(value)
    return kind.called if issubclass(kind, Placeholder) else None


def refusal(called: str) -> UserError:
    """What a placeholder stands for, and what to save instead."""
    if reason := _TENSORS.get(called):
        return UserError(f"holds {reason} ({called})")
    advice = "where it is a whole network, save its state_dict() instead"
    if called.startswith("ultralytics."):
        advice = "it is a YOLO of Ultralytics, which is no network of this program"
    return UserError(
        f"refused: it wants to call {called:.200}, which tensors and arrays never need; {advice}"
    )
