"""Tracing: a network's code runs on symbols; each layer and function adds nodes to a graph.

This avoids a second description of each network, which could differ from the code. Layers and
functions that are not listed in `layers` or `functions` fail, because Jittor does not accept
symbols.
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
    """Within the context, `network` and Jittor's functions accept symbols of the graph.

    The network's parameters become symbols, and `jt.array` returns symbols. Do not use Jittor for
    anything else within the context.
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
        # Jittor sets `__call__` on a class as soon as an instance has a hook.
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
    """Calls `on_symbols` if an argument, or an item of one, is a symbol; else `original`."""

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
