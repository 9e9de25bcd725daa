"""Bounds of a pickle, checked from its opcodes before any object of it is made.

Python's own reader trusts what a pickle declares: an index makes it allocate that much memory, and
hashing tuples nested too deeply ends the process. A tuple that holds another one twice, that one a
third one twice, and so on, takes years to hash, and so do large numbers, as long as they are keys.
Tuples can be chosen so that all have one hash; then each is compared with all before it.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import IO, Any

from unidet.errors import UserError

MAX_OPCODES = 20_000_000
MAX_DEPTH = 100

# They change a value on the stack and leave it there.
_CHANGES = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")
# Where the keys stand among what these take.
_KEYS = {
    "SETITEM": slice(1, 2),
    "SETITEMS": slice(1, None, 2),
    "DICT": slice(0, None, 2),
    "ADDITEMS": slice(1, None),
    "FROZENSET": slice(0, None),
}
_UNHASHED = ("LIST", "DICT")

_REPEATS = 8  # times that the bytes of a file may stand in what is made of it: tied, widened
_SPARE_BYTES = 64 << 20
_SPARE_STEPS = 1000
_COMPARED = 100_000_000  # steps, of some nanoseconds each
_LONG = 2**63  # steps for a number that many others may share their hash with


@dataclass
class Allowance:
    """How much may be made of what was read; shared lists and repeating views multiply."""

    parts: int
    bytes: int

    @classmethod
    def of(cls, opcodes: int, size: int) -> Allowance:
        """For a pickle of so many opcodes, with so many bytes of content."""
        return cls(1000 + _REPEATS * opcodes, _SPARE_BYTES + _REPEATS * size)

    def take(self, name: str, size: int = 0) -> None:
        """Use up one part of this name, and the bytes of its array.

        Raises:
            UserError: no more is allowed.
        """
        self.parts -= 1 + len(name) // 256
        self.bytes -= size
        if self.parts < 0 or self.bytes < 0:
            raise UserError("it repeats its content far more often than weights do")


Value = list[int]
"""How deeply a value nests, and in how many steps it is hashed. A list, because the memo and the
stack share values."""


def check_bounds(file: IO[bytes], size: int) -> int:
    """Check the pickle at the file's position, of which `size` bytes follow; stays there.

    Returns:
        How many opcodes it has.

    Raises:
        UserError: it has too many, nests too deeply, or declares more than can be there.
        ValueError, IndexError, KeyError: it is damaged.
    """
    start = file.tell()
    stack, memo = _Stack(), dict[int, Value]()
    count = 0
    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file), 1):
        if count > MAX_OPCODES:
            raise UserError(f"a pickle of more than {MAX_OPCODES} opcodes")
        if opcode.name == "FRAME" and argument > size:
            raise ValueError(f"a frame of {argument} bytes in {size}")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = len(memo) if argument is None else argument
            if not 0 <= index <= count:
                raise UserError(f"it numbers an object {index}, which has no more than {count}")
            memo[index] = stack.values[-1]
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            stack.values.append(memo[argument])
        else:
            stack.apply(opcode, argument)
        if stack.hashed > _SPARE_STEPS + _REPEATS * count or stack.compared > _COMPARED:
            raise UserError("it has keys that take far longer to look up than names do")
    file.seek(start)
    return count


class _Stack:
    """The reader's stack, without the values themselves.

    Attributes:
        hashed: steps for all keys so far.
        compared: steps for their comparisons, where all that are made of others share a hash.
    """

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.hashed = self.compared = self._made = 0
        self._marks: list[int] = []

    def apply(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """What an opcode takes from the stack and leaves on it; the memo's are not for here."""
        if opcode.name == "MARK":
            self._marks.append(len(self.values))
            return
        if opcode.name == "DUP":
            self.values.append(self.values[-1])
            return
        if opcode.name == "POP" and self._marks and self._marks[-1] == len(self.values):
            self._marks.pop()  # which it takes for a value
            return
        taken = self._take(opcode.stack_before)
        if not opcode.stack_after:
            return
        if opcode.name in _KEYS:
            self._look_up([steps for _, steps in taken[_KEYS[opcode.name]]])
        is_long = isinstance(argument, int) and not -(2**63) <= argument < 2**64
        left = taken.pop(0) if opcode.name in _CHANGES else [0, _LONG if is_long else 1]
        left[0] = max([left[0], *(1 + depth for depth, _ in taken)])
        if opcode.name not in (*_CHANGES, *_UNHASHED):
            left[1] += sum(steps for _, steps in taken)
        if left[0] > MAX_DEPTH:
            raise UserError(f"its objects nest more than {MAX_DEPTH} deep")
        self.values.append(left)

    def _look_up(self, keys: list[int]) -> None:
        """Count the steps for keys that are hashed in so many."""
        self.hashed += sum(keys)
        for steps in keys:
            if steps > 1:
                self.compared += steps * self._made
                self._made += 1

    def _take(self, before: list[Any]) -> list[Value]:
        if pickletools.markobject in before:
            first = self._marks.pop() - before.index(pickletools.markobject)
        else:
            first = len(self.values) - len(before)
        if first < 0:
            raise IndexError("an opcode finds nothing to work on")
        taken = self.values[first:]
        del self.values[first:]
        return taken
