"""Axes over steps, all of one width, and names at the ends of lines instead of legends."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from gancore.health.record import Record
from gancore.health.report.marks import draw, marks_of
from gancore.health.report.style import LEFT, MUTED, RIGHT, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def over_time(record: Record, heights: Sequence[float], *, on_colours: bool = False) -> "tuple[Figure, list[Axes]]":
    """A figure of panels over steps, one above the other; a line through all of them where each finding begins.

    Args:
        heights: of the panels, in inches.
        on_colours: the panels will be filled with colours: the lines have to stand out from those.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    low, high = span(record)
    marks = marks_of(record, low, high)
    top, bottom, between = 0.1 + 0.125 * (1 + max((mark.row for mark in marks), default=-1)), 0.42, 0.3
    height = top + bottom + sum(heights) + between * (len(heights) - 1)
    figure = Figure(figsize=(WIDTH, height))
    axes: list[Axes] = []
    y = height - top
    for panel in heights:
        y -= panel
        ax = figure.add_axes((LEFT / WIDTH, y / height, (WIDTH - LEFT - RIGHT) / WIDTH, panel / height))
        ax.set_xlim(low, high)
        one = record.probes[0].step == record.last.step
        ax.xaxis.set_major_locator(FixedLocator([record.last.step]) if one else MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        ax.grid(True, axis="y")
        ax.tick_params(labelbottom=panel is heights[-1] and len(axes) == len(heights) - 1)
        axes.append(ax)
        y -= between
    axes[-1].set_xlabel("step")
    for mark in marks:
        draw(mark, axes, on_colours)
    return figure, axes


def span(record: Record) -> tuple[float, float]:
    """From half a probe before the first to half a probe after the last."""
    first, last = record.probes[0].step, record.last.step
    half = (last - first) / max(1, len(record.probes) - 1) / 2
    pad = min(half, 0.02 * (last - first)) or 0.5
    return first - pad, last + pad


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
