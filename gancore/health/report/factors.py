"""The three factors of G's gradient over time."""

import math
from typing import TYPE_CHECKING

from gancore.health.record import Record
from gancore.health.report.axes import End, label_ends, over_time, thresholds
from gancore.health.report.few import thinned
from gancore.health.report.limits import limit
from gancore.health.report.logscale import Log
from gancore.health.report.style import BLUE, GREEN, INK, POINTS, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION = (
    "Where the gradient of G is lost. Its norm (black) is the product of three factors: A, the slope of the loss at "
    "D's scores; B, the slope of D at the fakes; C, what G's own layers make of it. The factor that falls together "
    "with the black line is the address: A near 0 is a saturated loss, B near 0 a flat D and a very large B a D that "
    "nothing bounds, and C near 0 a G whose depth eats the signal."
)
LINES = (
    ("A", "A  loss", BLUE),
    ("B", "B  D's slope", VERMILION),
    ("C", "C  G's layers", GREEN),
    ("gradient/generator", "A·B·C", INK),
)


def factors(record: Record) -> "tuple[Figure, str]":
    """The figure and its caption."""
    probes = [record.probes[i] for i in thinned(len(record.probes), POINTS)]
    lines = {
        name: [(p.step, p.numbers[name]) for p in probes if name in p.numbers]
        for name, _, _ in LINES
        if any(name in p.numbers for p in probes)
    }
    figure, axes = over_time(record, [2.3])
    (ax,) = axes
    scale = Log.around(value for points in lines.values() for _, value in points)
    for name, _, colour in LINES:
        if points := lines.get(name):
            marker = "o" if len(points) < 3 else None
            ax.plot(
                [step for step, _ in points], [scale.at(value) for _, value in points], color=colour, marker=marker,
                linewidth=2.0 if name.startswith("gradient") else 1.4,
            )  # fmt: skip
    scale.dress(ax, "y")
    saturated = limit(record, "loss-saturated", "warn")
    ends = thresholds(ax, {"A: loss-saturated": math.log10(saturated) if saturated else None})
    ends += [End(scale.at(lines[name][-1][1]), word, colour) for name, word, colour in LINES if name in lines]
    label_ends(ax, ends)
    return figure, CAPTION + (" Points at 0 are exactly zero." if scale.zeros else "")
