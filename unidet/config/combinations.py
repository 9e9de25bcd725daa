"""The jobs of a sweep: every combination of the values that its arguments give."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, product
from math import prod
from typing import TYPE_CHECKING

from unidet.config.overrides import parsed
from unidet.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MOST_JOBS = 10_000


def combinations(overrides: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """The overrides of each job, with the last key varying fastest, and the keys that vary.

    Raises:
        UserError: a value cannot be parsed or is not a list of values, a varying key is given
            again (the later value would apply to all jobs), or there are too many jobs.
    """
    from hydra.errors import HydraException

    from unidet.config.compose import explain

    choices: list[list[str]] = []
    swept: dict[str, tuple[str, str]] = {}  # key without `+` -> key as given, whole override
    for override in overrides:
        try:
            item = parsed(override)
        except HydraException as error:
            raise UserError(explain(error, [override], sweep=True)) from None
        name = str(item.key_or_group)
        if name in swept:
            raise UserError(f"{override}: comes after {swept[name][1]}; give {name} once")
        if item.is_sweep_override():
            if name == "remote":  # what follows a comma in a password would be shown as a value
                raise UserError("remote: a sweep takes one address; in it, write a comma as %2C")
            key = item.get_key_element()
            choices.append([f"{key}={value}" for value in _values(item, override)])
            swept[name] = key, override
        else:
            choices.append([str(item.input_line)])
    keys = [key for key, _ in swept.values()]
    if prod(map(len, choices)) > MOST_JOBS:
        raise UserError(f"{', '.join(keys)}: more than {MOST_JOBS} combinations; give fewer")
    return [list(job) for job in product(*choices)], keys


def _values(item: Override, override: str) -> list[str]:
    """The values that an override sweeps over, as text; at least one."""
    from hydra.errors import HydraException

    try:
        values = list(islice(item.sweep_string_iterator(), MOST_JOBS + 1))
    except (HydraException, ValueError, ArithmeticError):
        values = []
    if not values:
        raise UserError(f"{override}: is not a list of values; give them as key=a,b or range(0,3)")
    if len(values) > MOST_JOBS:
        raise UserError(f"{override}: is more than {MOST_JOBS} values; give fewer")
    return values
