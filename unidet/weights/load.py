"""Between a network's variables and plain arrays, strictly: Jittor's own loader reports nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import jittor as jt
import numpy as np

from unidet.errors import Malformed, UserError
from unidet.store.arrays import malformed
from unidet.weights.read import read_checkpoint

_SHOWN = 8


class Misfit(UserError):
    """Weights do not fit a network: another network, or other sizes."""


@contextmanager
def stored_weights(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """Context for loading the weights of a stage's artefact, which may come from elsewhere.

    Raises:
        Malformed: they cannot be read, or do not fit it.
    """
    try:
        yield read_checkpoint(path)
    except Misfit as error:
        malformed(path, str(error))
    except UserError as error:
        raise Malformed(str(error)) from None


def load_stored(module: jt.Module, path: Path) -> None:
    """`load_into` for the weights of a stage's artefact; raises as `stored_weights`."""
    with stored_weights(path) as arrays:
        load_into(module, arrays)


def state_of(module: jt.Module) -> dict[str, np.ndarray]:
    """Every parameter and buffer by name, copied, in the order of the module's declarations."""
    return {name: np.array(var.numpy()) for name, var in module.named_parameters()}


def load_into(
    module: jt.Module,
    arrays: Mapping[str, np.ndarray],
    *,
    allow_missing: Collection[str] = (),
    allow_unexpected: Collection[str] = (),
) -> None:
    """Sets every parameter and buffer of `module` from `arrays`; sets nothing where that fails.

    Args:
        allow_missing: names (or patterns such as "fc.*") that keep their present values when
            `arrays` lacks them.
        allow_unexpected: names or patterns in `arrays` to ignore.

    Raises:
        Misfit: names are missing or unexpected, shapes differ, or values are no finite numbers;
            it lists all of them.
    """
    variables = dict(module.named_parameters())
    common = [name for name in variables if name in arrays]
    problems = {
        "missing": _unless(allow_missing, (name for name in variables if name not in arrays)),
        "unexpected": _unless(allow_unexpected, (name for name in arrays if name not in variables)),
        "of another shape": [
            f"{name} {tuple(arrays[name].shape)}, not {_shape(variables[name])}"
            for name in common
            if _shape(variables[name]) != (tuple(arrays[name].shape) or (1,))
        ],
        "not real numbers": [name for name in common if not _is_real(arrays[name])],
        "not finite": [name for name in common if not _is_finite(arrays[name])],
    }
    if any(problems.values()):
        raise Misfit("weights do not fit the network: " + _listed(problems))
    for name in common:
        _set(variables[name], arrays[name])


def _is_real(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf"


def _is_finite(array: np.ndarray) -> bool:
    return not _is_real(array) or bool(np.isfinite(array).all())


def _shape(variable: jt.Var) -> tuple[int, ...]:
    return tuple(variable.shape)


def _set(variable: jt.Var, array: np.ndarray) -> None:
    """Set a variable's value; the variable, its type and `requires_grad` stay."""
    values = np.ascontiguousarray(array).reshape(_shape(variable)).astype(variable.numpy().dtype)
    variable.update(jt.array(values))
    variable.sync()  # a pending one-element array would be fused into its users, which can fail


def _unless(allowed: Collection[str], names: Iterable[str]) -> list[str]:
    return [n for n in names if not any(fnmatchcase(n, pattern) for pattern in allowed)]


def _listed(problems: Mapping[str, list[str]]) -> str:
    parts = []
    for what, names in problems.items():
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})")
    return "; ".join(parts)
