"""What methods of a network return while it runs: the intermediates that a trace reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MethodType
from typing import Any, cast

Change = Callable[[Any], Any]


def unchanged(result: Any) -> Any:
    return result


@contextmanager
def seen(
    methods: Mapping[str, Callable], changes: Mapping[str, Change] | None = None
) -> Iterator[dict[str, list[Any]]]:
    """Inside the context every call of a method adds its result to the list of its name.

    Args:
        methods: bound ones; of a part of a network `part.execute`.
        changes: by the method's name here, what takes the place of its result.
    """
    results: dict[str, list[Any]] = {name: [] for name in methods}

    def recorded(name: str, method: Callable, change: Change) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            results[name].append(change(method(*arguments, **options)))
            return results[name][-1]

        return call

    bound = cast(Mapping[str, MethodType], methods)
    places = [(method.__self__, method.__name__) for method in bound.values()]
    for (owner, attribute), (name, method) in zip(places, methods.items(), strict=True):
        call = recorded(name, method, (changes or {}).get(name, unchanged))
        object.__setattr__(owner, attribute, call)  # of frozen ones too; hides the class's method
    try:
        yield results
    finally:
        for owner, attribute in places:
            object.__delattr__(owner, attribute)
