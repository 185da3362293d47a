"""The moments at which findings begin, as lines through a figure with their codes above it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from gancore.contracts import Severity
from gancore.health.record import Record
from gancore.health.report.few import shortened
from gancore.health.report.style import INK, LEFT, OF_SEVERITY, RIGHT, WIDTH
from gancore.health.triage import in_order
from gancore.health.words import ROLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKS = 6  # beginnings of findings in a picture


@frozen
class Mark:
    """Where a finding begins."""

    step: float
    word: str
    severity: Severity
    row: int = 0
    to_the_left: bool = False


def marks_of(record: Record, low: float, high: float) -> list[Mark]:
    """Where findings begin, each with a row for its word, on an axis from step `low` to `high`."""
    marks = [evolve(mark, step=min(max(mark.step, low), high)) for mark in _first(record)]  # NaN may come before probes
    return _rows(marks, low, high)


def _first(record: Record) -> list[Mark]:
    """The first beginning of each finding in each network; consequences only where there are few."""
    found: dict[str, Mark] = {}
    placed = [item for item in in_order(record) if item.held.finding.severity != "note"]
    for item in placed:
        if item.depth and len(placed) > MOST_MARKS:
            continue
        finding = item.held.finding
        network = ROLE.get(finding.where.partition(" ")[0], "")
        word = f"{shortened(finding.code)} {network}".rstrip()
        before = found.get(word)
        if before is None or item.held.first < before.step:
            found[word] = Mark(item.held.first, word, before.severity if before else finding.severity)
    return sorted(list(found.values())[:MOST_MARKS], key=lambda mark: mark.step)


def _rows(marks: Sequence[Mark], low: float, high: float) -> list[Mark]:
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


def draw(mark: Mark, axes: "Sequence[Axes]", on_colours: bool) -> None:
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
