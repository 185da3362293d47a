"""Axes over steps, with the moments at which findings begin; logarithmic axes on which an exact zero has a place."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from gancore.contracts import Severity
from gancore.health.record import Record
from gancore.health.report.style import INK, LEFT, MUTED, OF_SEVERITY, RIGHT, WIDTH
from gancore.health.triage import in_order
from gancore.health.words import ROLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_MARKS = 6  # beginnings of findings in a picture


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


def over_time(record: Record, heights: Sequence[float], *, on_colours: bool = False) -> "tuple[Figure, list[Axes]]":
    """A figure of panels over steps, one above the other; a line through all of them where each finding begins.

    Args:
        heights: of the panels, in inches.
        on_colours: the panels will be filled with colours: the lines have to stand out from those.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = span(record)
    marks = _rows(_marks(record), low, high)
    top, bottom, between = 0.1 + 0.125 * (1 + max((mark.row for mark in marks), default=-1)), 0.42, 0.3
    height = top + bottom + sum(heights) + between * (len(heights) - 1)
    figure = Figure(figsize=(WIDTH, height))
    axes: list[Axes] = []
    y = height - top
    for panel in heights:
        y -= panel
        ax = figure.add_axes((LEFT / WIDTH, y / height, (WIDTH - LEFT - RIGHT) / WIDTH, panel / height))
        ax.set_xlim(low, high)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        ax.grid(True, axis="y")
        ax.tick_params(labelbottom=panel is heights[-1] and len(axes) == len(heights) - 1)
        axes.append(ax)
        y -= between
    axes[-1].set_xlabel("step")
    for mark in marks:
        _draw(mark, axes, on_colours)
    return figure, axes


def span(record: Record) -> tuple[float, float]:
    """From half a probe before the first to half a probe after the last."""
    first, last = record.probes[0].step, record.last.step
    half = (last - first) / max(1, len(record.probes) - 1) / 2
    pad = min(half, 0.02 * (last - first)) or 0.5
    return first - pad, last + pad


@frozen
class _Mark:
    """Where a finding begins."""

    step: int
    word: str
    severity: Severity
    row: int = 0
    to_the_left: bool = False


def _marks(record: Record) -> list[_Mark]:
    """The first beginning of each finding in each network; consequences only where there are few."""
    found: dict[str, _Mark] = {}
    placed = [item for item in in_order(record) if item.held.finding.severity != "note"]
    for item in placed:
        if item.depth and len(placed) > MOST_MARKS:
            continue
        finding = item.held.finding
        network = ROLE.get(finding.where.partition(" ")[0], "")
        word = f"{shortened(finding.code)} {network}".rstrip()
        before = found.get(word)
        if before is None or item.held.first < before.step:
            found[word] = _Mark(item.held.first, word, before.severity if before else finding.severity)
    return sorted(list(found.values())[:MOST_MARKS], key=lambda mark: mark.step)


def _rows(marks: Sequence[_Mark], low: float, high: float) -> list[_Mark]:
    """Each word in the lowest row in which nothing is in its way."""
    taken: list[list[tuple[float, float]]] = []
    found = []
    for mark in marks:
        at, length = (mark.step - low) / (high - low), (0.062 * len(mark.word) + 0.1) / (WIDTH - LEFT - RIGHT)
        to_the_left = at + length > 1.1
        begin = at - length if to_the_left else at
        row = 0
        while row < len(taken) and any(begin < b and a < begin + length for a, b in taken[row]):
            row += 1
        if row == len(taken):
            taken.append([])
        taken[row].append((begin, begin + length))
        found.append(evolve(mark, row=row, to_the_left=to_the_left))
    return found


def _draw(mark: _Mark, axes: "Sequence[Axes]", on_colours: bool) -> None:
    colour = OF_SEVERITY[mark.severity]
    for ax in axes:
        if on_colours:
            ax.axvline(mark.step, color=INK, linewidth=1.6, alpha=0.55)
        ax.axvline(
            mark.step, color="white" if on_colours else colour, linewidth=0.8, linestyle=(0, (4, 2)),
            alpha=1 if on_colours else 0.75, zorder=3 if on_colours else 1.5,
        )  # fmt: skip
    axes[0].annotate(
        mark.word, (mark.step, 1), xycoords=("data", "axes fraction"),
        xytext=(2 if mark.to_the_left else -2, 3 + 9 * mark.row), textcoords="offset points",
        ha="right" if mark.to_the_left else "left", va="bottom", fontsize=7, color=colour, annotation_clip=False,
    )  # fmt: skip


@frozen
class End:
    """A name at the right end of a line.

    Attributes:
        at: on the y axis.
        small: of a threshold rather than a curve.
    """

    at: float
    word: str
    colour: str = MUTED
    small: bool = False


def label_ends(ax: "Axes", ends: Sequence[End], *, apart: float = 8.5) -> None:
    """Names at the right ends of lines instead of a legend, pushed apart where lines end close together.

    Args:
        apart: points between two names.
    """
    low, high = ax.get_ylim()
    height = ax.get_position().height * ax.figure.get_figheight() * 72  # type: ignore[union-attr]
    ends = sorted(ends, key=lambda end: end.at)
    places = [(min(max(end.at, low), high) - low) / (high - low) * height for end in ends]
    for _ in range(100):
        for i in range(len(places) - 1):
            overlap = apart - (places[i + 1] - places[i])
            if overlap > 1e-6:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
    for end, place in zip(ends, places, strict=True):
        ax.annotate(
            end.word, (1, 0), xycoords="axes fraction", xytext=(6, place), textcoords="offset points",
            va="center", ha="left", fontsize=6.5 if end.small else 7.5, color=end.colour, annotation_clip=False,
        )  # fmt: skip


def thresholds(ax: "Axes", limits: "Mapping[str, float | None]") -> list[End]:
    """A thin line at each threshold that is in the picture, and its name."""
    low, high = ax.get_ylim()
    found = {word: at for word, at in limits.items() if at is not None and low <= at <= high}
    for at in found.values():
        ax.axhline(at, color=MUTED, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
    return [End(at, word, small=True) for word, at in found.items()]


def thinned(count: int, most: int) -> list[int]:
    """Indices, evenly spread, of at most so many; the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def shortened(name: str, most: int = 26) -> str:
    """The name of a layer, its middle left out where it is long."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most // 2) :]}"
