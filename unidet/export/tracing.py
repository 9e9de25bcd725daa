"""Tracing: a network's code runs on symbols, and every layer and function becomes nodes of a graph.

So no second description of a network could differ from it. Anything not listed in `layers` or
`functions` fails, because Jittor takes no symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import jittor as jt
import numpy as np
from jittor import nn

from unidet.export.functions import FUNCTIONS, NEVER, PLACES
from unidet.export.graph import Graph
from unidet.export.layers import LAYERS
from unidet.export.symbol import Symbol


@contextmanager
def tracing(network: nn.Module) -> Iterator[Graph]:
    """Inside the context `network` and Jittor's functions take symbols of the graph.

    Parameters are symbols too, and `jt.array` makes some. Nothing else may run Jittor meanwhile.
    """
    graph = Graph()
    paths = {id(module): path for path, module in network.named_modules()}
    with ExitStack() as restored:
        for module in network.modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, jt.Var):
                    symbol = Symbol.constant(graph, value, f"{paths[id(module)]}.{name}")
                    _replace(restored, vars(module), name, symbol)
        for (place, name), on_symbols in PLACES.items():
            original = getattr(place, name)
            _replace(restored, vars(place), name, _either(original, on_symbols))
        for place, name in NEVER:
            _replace(restored, vars(place), name, lambda: False)
        calls: dict[Any, Callable[..., Any]] = {
            nn.Module: _module_call(graph, paths),
            jt.Function: _function_call,
        }
        # Jittor has given a class a call of its own once an instance has had a hook.
        hooked = {type(module) for module in network.modules() if "__call__" in vars(type(module))}
        for kind, call in (calls | dict.fromkeys(hooked, calls[nn.Module])).items():
            restored.callback(setattr, kind, "__call__", kind.__call__)
            kind.__call__ = call
        _replace(restored, vars(jt), "array", _array(graph))
        yield graph


def _replace(restored: ExitStack, names: dict[str, Any], name: str, value: Any) -> None:
    restored.callback(names.__setitem__, name, names[name])
    names[name] = value


def _either(original: Callable[..., Any], on_symbols: Callable[..., Any]) -> Callable[..., Any]:
    """The original function if no argument is a symbol."""

    def call(*arguments: Any, **options: Any) -> Any:
        values = [*arguments, *options.values()]
        values += [item for value in values if isinstance(value, list | tuple) for item in value]
        traced = any(isinstance(value, Symbol) for value in values)
        return (on_symbols if traced else original)(*arguments, **options)

    return call


def _module_call(graph: Graph, paths: dict[int, str]) -> Callable[..., Any]:
    def call(module: nn.Module, *arguments: Any, **options: Any) -> Any:
        outside, graph.scope = graph.scope, paths.get(id(module), graph.scope)
        on_symbols = LAYERS.get(type(module))
        try:
            if on_symbols is None:
                return module.execute(*arguments, **options)
            return on_symbols(module, *arguments, **options)
        finally:
            graph.scope = outside

    return call


def _function_call(function: jt.Function, *arguments: Any) -> Any:
    on_symbols = FUNCTIONS.get(type(function))
    if on_symbols is None:
        raise NotImplementedError(f"{type(function).__name__} has no entry in export.functions")
    return on_symbols(function, *arguments)


def _array(graph: Graph) -> Callable[..., Symbol]:
    def array(value: Any) -> Symbol:
        return value if isinstance(value, Symbol) else Symbol.constant(graph, np.asarray(value))

    return array
