"""Names under which wrappers keep a network: DataParallel, torch.compile, Lightning, a trainer.

A wrapper puts a component of its own in front of every name (`module.backbone.conv1.weight`), or
inside, where it wraps a part (`backbone._orig_mod.conv1.weight`). Beside the network it may keep
what training alone needs (`criterion.empty_weight`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")

_INSIDE = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_IN_TRAINING = re.compile(r"\w*(loss|criteri|metric|matcher|accuracy|evaluator)\w*", re.I)
"""Modules that no inference needs: of the loss, of metrics."""
_TRAINED, _AVERAGED = "model.", "avg_model."
"""Where NanoDet-Plus' trainer keeps the weights and their EMA."""
_COUNTER = "n_averaged"  # of PyTorch's AveragedModel, beside the network that it wraps


@dataclass(frozen=True)
class Unwrapped:
    """Names without the components `removed` (`module.`), each with its name in the file."""

    names: Mapping[str, str]
    removed: tuple[str, ...] = ()

    def of(self, by_file_name: Mapping[str, Value]) -> dict[str, Value]:
        return {name: by_file_name[in_file] for name, in_file in self.names.items()}

    def __str__(self) -> str:
        """`without module.`; nothing where the names are the file's."""
        return f"without {' '.join(self.removed)}" if self.removed else ""


def unwrapped(names: Iterable[str]) -> Iterator[Unwrapped]:
    """The file's own names, then the names without wrappers, one wrapper less each time.

    Last goes the first component while all names share it. No two entries ever get one name.
    """
    way = Unwrapped({name: name for name in names})
    yield way
    for remove in (_without_inside, _without_losses, _without_copies, _trainers):
        if shorter := remove(way):
            way = shorter
            yield way
    while shorter := _without_first(way):
        way = shorter
        yield way


def bare(name: str) -> str:
    """A name without the components of wrappers."""
    return ".".join(part for part in name.split(".") if part not in _INSIDE)


def _without_inside(way: Unwrapped) -> Unwrapped | None:
    removed = [part for part in _INSIDE if any(part in name.split(".") for name in way.names)]
    names = {bare(name): in_file for name, in_file in way.names.items()}
    if not removed or len(names) < len(way.names):
        return None
    return Unwrapped(names, (*way.removed, *(f"{part}." for part in removed)))


def _without_losses(way: Unwrapped) -> Unwrapped | None:
    gone = {
        name: part
        for name in way.names
        if (part := next(filter(_IN_TRAINING.fullmatch, name.split(".")), None))
    }
    if not gone or len(gone) == len(way.names):
        return None
    names = {name: in_file for name, in_file in way.names.items() if name not in gone}
    removed = dict.fromkeys(f"{part}.*" for part in gone.values())
    return Unwrapped(names, (*way.removed, *removed))


def _without_copies(way: Unwrapped) -> Unwrapped | None:
    """The names without the copies of an EMA: a counter, and mmdet 2's `ema_a_b_weight`.

    These are the weights that training goes on from: before it saves, its hook puts the average in
    their place (mmcv runner/hooks/ema.py, mmdet core/hook/ema.py, `_swap_ema_parameters`).
    """
    copies = {f"ema_{name.replace('.', '_')}" for name in way.names}
    names = {
        name: in_file
        for name, in_file in way.names.items()
        if name not in copies and name != _COUNTER
    }
    if len(names) == len(way.names):
        return None
    removed = [_COUNTER] if _COUNTER in way.names else []
    removed += ["ema_*"] if copies & way.names.keys() else []
    return Unwrapped(names, (*way.removed, *removed))


def _trainers(way: Unwrapped) -> Unwrapped | None:
    """What a checkpoint of NanoDet-Plus' trainer evaluates with: the EMA, and what has none as it
    is (nanodet util/check_point.py `load_model_weight`)."""
    averaged = [name for name in way.names if name.startswith(_AVERAGED)]
    if not averaged or not all(name.startswith((_TRAINED, _AVERAGED)) for name in way.names):
        return None
    trained = [name for name in way.names if name.startswith(_TRAINED)]
    names = {name.removeprefix(_TRAINED): way.names[name] for name in trained}
    names |= {name.removeprefix(_AVERAGED): way.names[name] for name in averaged}
    return Unwrapped(names, (*way.removed, _TRAINED, _AVERAGED))


def _without_first(way: Unwrapped) -> Unwrapped | None:
    firsts = {name.partition(".")[0] for name in way.names}
    if len(firsts) != 1 or not all("." in name for name in way.names):
        return None
    prefix = f"{firsts.pop()}."
    names = {name.removeprefix(prefix): in_file for name, in_file in way.names.items()}
    return Unwrapped(names, (*way.removed, prefix))
