"""What a pickle gets in place of functions and objects: it can use them, but not alter them.

A pickle may set attributes of whatever it names, so that one file would change how the next is
read, and may call a function that copies its argument a million times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from unidet.errors import UserError
from unidet.weights.pickle_bounds import Allowance

_ENTRY_BYTES = 32  # of one element in a container, at least
MAX_DIMENSIONS = 32  # numpy's


class Unaltered:
    """Refuses the state that a pickle sets."""

    __slots__ = ()

    def __setstate__(self, _: Any) -> None:
        raise UserError("it alters an object that a pickle of weights only makes")


class Call(Unaltered):
    """A function; the arguments of all calls count, because some are copied."""

    __slots__ = ("_allowance", "function")

    def __init__(self, function: Callable[..., Any], allowance: Allowance) -> None:
        self.function = function
        self._allowance = allowance

    def __call__(self, *arguments: Any) -> Any:
        self._allowance.take("", sum(map(_bytes, arguments)))
        return self.function(*arguments)


def _bytes(argument: Any) -> int:
    """Bytes of a copy of what stands directly in an argument."""
    if isinstance(argument, (str, bytes, bytearray)):
        return len(argument)
    return _ENTRY_BYTES * len(argument) if isinstance(argument, (list, tuple, dict)) else 0


class Ordered(dict[Any, Any]):
    """Stands for an OrderedDict, whose attributes (`_metadata` of a state_dict) are left out."""

    __slots__ = ()

    def __init__(self, pairs: Iterable[Any] = ()) -> None:
        """UserError where a key is neither text nor a number of at most 64 bits."""
        super().__init__()
        for key, value in pairs:
            is_number = isinstance(key, int) and -(2**63) <= key < 2**64
            if not is_number and not isinstance(key, (str, bytes)):
                raise UserError(f"it has a key that is {brief(key)}, not a name")
            self[key] = value

    def __setstate__(self, _: Any) -> None: ...


def brief(value: Any) -> str:
    """`value` in a message: nothing that it contains, which may repeat without end."""
    if isinstance(value, (str, bytes)):
        return f"{value[:40]!r}"
    return f"a {type(value).__name__}"


def sides(values: Any) -> tuple[int, ...]:
    """The lengths of the sides of a tensor, or its strides.

    Raises:
        UserError: they are not at most 32 whole numbers of 64 bits.
    """
    if (
        not isinstance(values, (list, tuple))
        or len(values) > MAX_DIMENSIONS
        or not all(isinstance(one, int) and abs(one) < 2**63 for one in values)
    ):
        raise UserError(f"it has a malformed shape or strides, {brief(values)}")
    return tuple(map(int, values))
