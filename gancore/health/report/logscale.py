"""Logarithmic axes on which an exact zero, and what is no number, have places of their own."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

from gancore.health.report.style import MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@frozen
class Log:
    """A logarithmic axis from 10^low to 10^high. Below it is a row for exact zeros and above it one for what is no
    finite number, where there are any.

    Positions are decimal logarithms, on an ordinary linear axis.
    """

    low: int
    high: int
    zeros: bool
    broken: bool

    @classmethod
    def around(cls, values: Iterable[float], include: Iterable[float | None] = (), least: int = 1) -> "Log":
        """The axis for these values, and for what else is to be seen on it; at least so many decades."""
        values = list(values)
        positive = [v for v in (*values, *(v for v in include if v is not None)) if math.isfinite(v) and v > 0]
        low = math.floor(math.log10(min(positive, default=0.1)))
        high = math.ceil(math.log10(max(positive, default=1.0)))
        high = max(high, low + 1)
        return cls(min(low, high - least), high, 0 in values, any(not math.isfinite(v) or v < 0 for v in values))

    @property
    def gap(self) -> float:
        """From the axis to the row of zeros."""
        return max(0.7, 0.08 * (self.high - self.low))

    def at(self, value: float) -> float:
        if not math.isfinite(value) or value < 0:
            return self.high + self.gap
        return math.log10(value) if value > 0 else self.low - self.gap

    @property
    def limits(self) -> tuple[float, float]:
        pad = 0.02 * (self.high - self.low)
        return (
            self.low - (1.5 * self.gap if self.zeros else pad),
            self.high + (1.5 * self.gap if self.broken else pad),
        )

    def ticks(self, most: int) -> tuple[list[float], list[str]]:
        stride = max(1, math.ceil((self.high - self.low) / most))
        decades = [e for e in range(self.low, self.high + 1) if e % stride == 0]
        places, words = [float(e) for e in decades], [power_of_ten(e) for e in decades]
        if self.zeros:
            places, words = [self.at(0.0), *places], ["0", *words]
        if self.broken:
            places, words = [*places, self.at(math.inf)], [*words, "NaN, ∞"]
        return places, words

    def dress(self, ax: "Axes", axis: str, most: int = 6) -> None:
        """Ticks and limits; a line between the axis and its zeros."""
        which = getattr(ax, f"{axis}axis")
        places, words = self.ticks(most)
        which.set_ticks(places, labels=words)
        if self.high - self.low <= most:
            minor = [e + math.log10(m) for e in range(self.low, self.high) for m in range(2, 10)]
            which.set_ticks(minor, minor=True)
        getattr(ax, f"set_{axis}lim")(*self.limits)
        line = ax.axhline if axis == "y" else ax.axvline
        for there, edge in ((self.zeros, self.low - self.gap / 2), (self.broken, self.high + self.gap / 2)):
            if there:
                line(edge, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))


def power_of_ten(exponent: int) -> str:
    """`10⁻³`; plain numbers where those are as short."""
    if 0 <= exponent <= 2:
        return str(10**exponent)
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
