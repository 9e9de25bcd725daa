"""Axes: convert values to positions in a chart, with round ticks and numbers without exponents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unidet.report.charts.svg import element, words

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, FLOOR = 52, 14, 12, HEIGHT - 42
_STEPS = (1, 2, 5, 10)
MOST_STEPS = 6  # maximum number of steps between ticks along an axis
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """One axis from `low` to `high`; values outside are drawn at its ends.

    Attributes:
        label: with the unit, if there is one.
        factor: tick labels show values divided by this.
        ticks: values of the ticks; None for round ones.
    """

    label: str
    low: float
    high: float
    log: bool = False
    factor: float = 1.0
    ticks: Sequence[float] | None = None

    @classmethod
    def of(cls, label: str, values: Sequence[float], *, log: bool = False) -> Axis:
        """An axis that covers the values and, if it is linear, zero."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        if log:
            # A margin, so that points at the ends are fully visible.
            return cls(label, max(low, 1e-12) / 1.15, max(high, 1e-12) * 1.15, log=True)
        low = min(low, 0.0)
        if high <= low:
            high = low + 1.0
        high += 0.04 * (high - low)
        largest = max(abs(low), abs(high))
        power = math.floor(math.log10(largest))
        if power >= -2:
            return cls(label, low, high)
        return cls(f"{label} (×{_power(power)})", low, high, factor=10.0**power)

    def place(self, value: float) -> float:
        """Relative position: 0 at the low end, 1 at the high end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self) -> list[tuple[float, str]]:
        """Values of the ticks and their labels."""
        if self.ticks is not None:
            return [(value, compact(value)) for value in self.ticks]
        if self.log:
            return [(value, compact(value)) for value in _log_ticks(self.low, self.high)]
        step = _round_step((self.high - self.low) / self.factor / MOST_STEPS) * self.factor
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        decimals = max(0, -math.floor(math.log10(step / self.factor) + 1e-9))
        values = [number * step for number in range(first, last + 1)]
        return [(value, _fixed(value / self.factor, decimals)) for value in values]


def _power(power: int) -> str:
    return f"10{str(power).translate(_SUPERSCRIPTS)}"


def _round_step(rough: float) -> float:
    base = 10.0 ** math.floor(math.log10(rough))
    return next(step * base for step in _STEPS if step * base >= rough * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 3 else (1,)
    values = [step * 10.0**power for power in powers for step in steps]
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def _fixed(value: float, decimals: int) -> str:
    if decimals == 0 and abs(value) >= 1000:
        return compact(value)
    return f"{value + 0.0:.{decimals}f}"


def compact(value: float) -> str:
    """A number for a tick label, with few characters: 0.25, 300, 1,000, 50k, 2M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


@dataclass(frozen=True)
class Frame:
    """The area of a chart between two axes; converts values to coordinates."""

    across: Axis
    up: Axis

    def x(self, value: float) -> float:
        return LEFT + self.across.place(value) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return FLOOR - self.up.place(value) * (FLOOR - TOP)

    def picture(self, *content: str) -> str:
        """The chart: grid, content, then axes with labels."""
        grid, labels = [], []
        for value, text in self.across.marks():
            grid.append(element("path", d=f"M{self.x(value):.1f} {TOP}V{FLOOR}"))
            labels.append(words(text, self.x(value), FLOOR + 16, text_anchor="middle"))
        for value, text in self.up.marks():
            grid.append(element("path", d=f"M{LEFT} {self.y(value):.1f}H{WIDTH - RIGHT}"))
            labels.append(words(text, LEFT - 6, self.y(value) + 4, text_anchor="end"))
        turned = f"translate(13 {(TOP + FLOOR) / 2:.0f})rotate(-90)"
        titles = [
            words(self.across.label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, text_anchor="middle"),
            words(self.up.label, 0, 0, text_anchor="middle", transform=turned),
        ]
        edge = element("path", class_="edge", d=f"M{LEFT} {TOP}V{FLOOR}H{WIDTH - RIGHT}")
        return drawing(
            WIDTH,
            HEIGHT,
            element("g", "".join(grid), class_="grid"),
            *content,
            edge,
            element("g", "".join(labels), class_="ticks"),
            element("g", "".join(titles), class_="axis"),
        )


def drawing(width: float, height: float, *content: str) -> str:
    """An SVG of this size; the page adds its name and its role."""
    return f'<svg viewBox="0 0 {width:g} {height:g}" aria-hidden="true">{"".join(content)}</svg>'
