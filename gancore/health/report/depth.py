"""What depth does to the signal, and how far the optimizers go: two ratios of each network over time."""

import math
from typing import TYPE_CHECKING

from gancore.contracts import ROLES
from gancore.health.record import Record
from gancore.health.report.axes import End, label_ends, over_time, thresholds
from gancore.health.report.few import thinned
from gancore.health.report.limits import limit
from gancore.health.report.logscale import Log
from gancore.health.report.style import OF_ROLE, POINTS
from gancore.health.words import ROLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "Depth and step size. Above: ρ, the signal at a network's first layer divided by that at its last; below the "
    "dashed lines the network's depth eats the gradient. Below: how far the optimizer moves the weights in one step, "
    "std(update) / std(weight), the median over all weights; about 10⁻³ is usual. Adaptive optimizers hide a "
    "vanishing gradient here: they divide by it."
)


def depth(record: Record) -> "tuple[Figure, str]":
    """The figure and its caption."""
    figure, axes = over_time(record, [1.45, 1.45])
    _curves(
        record, axes[0], "rho", "ρ",
        {"vanishing, warn": limit(record, "vanishing-depth", "warn"),
         "vanishing, fatal": limit(record, "vanishing-depth", "fatal")},
    )  # fmt: skip
    _curves(
        record, axes[1], "update", "update / weight",
        {"lr-too-high": limit(record, "lr-too-high", "warn"), "lr-too-low": limit(record, "lr-too-low", "warn")},
    )  # fmt: skip
    return figure, CAPTION


def _curves(record: Record, ax: "Axes", name: str, title: str, limits: dict[str, float | None]) -> None:
    probes = [record.probes[i] for i in thinned(len(record.probes), POINTS)]
    points = {
        role: [(p.step, p.numbers[f"{name}/{role}"]) for p in probes if f"{name}/{role}" in p.numbers] for role in ROLES
    }
    scale = Log.around((value for found in points.values() for _, value in found), limits.values())
    scale.dress(ax, "y", most=5)
    ax.set_ylabel(title)
    ends = thresholds(ax, {word: math.log10(at) if at else None for word, at in limits.items()})
    for role, found in points.items():
        if found:
            values = [scale.at(value) for _, value in found]
            marker = "o" if len(values) < 3 else None
            ax.plot([step for step, _ in found], values, color=OF_ROLE[role], marker=marker)
            ends.append(End(values[-1], ROLE[role], OF_ROLE[role]))
    label_ends(ax, ends)
