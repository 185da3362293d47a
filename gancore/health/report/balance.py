"""Who wins, and how different the fakes are: AUC and diversity over time."""

import math
from typing import TYPE_CHECKING

from gancore.health.record import Record
from gancore.health.report.axes import End, label_ends, over_time, thresholds
from gancore.health.report.few import thinned
from gancore.health.report.limits import limit
from gancore.health.report.style import BLUE, GREEN, ORANGE, POINTS, PURPLE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "Balance and diversity. Above: AUC, the probability that D scores a real above a fake; 0.5 is guessing, and a "
    "value near 1 is an illness only where diversity or factor A falls as well. Below: the mean distance between "
    "fakes, as a share of that between reals (in the data's own space, and in what D's last layer sees); near 1 is "
    "right, near 0 is mode collapse. Dashed: where findings begin to be considered."
)
BALANCE = (
    ("auc", "batch", BLUE),
    ("auc/seen", "seen reals", ORANGE),
    ("auc/held-out", "held out", PURPLE),
)
DIVERSITY = (("diversity", "data", GREEN), ("diversity/features", "D's features", SKY))


def balance(record: Record) -> "tuple[Figure, str]":
    """The figure and its caption."""
    figure, axes = over_time(record, [1.35, 1.35])
    above, below = axes
    _curves(
        record, above, BALANCE, "AUC", 1.0,
        {"d-dominates": limit(record, "d-dominates", "auc"), "guessing": 0.5,
         "g-dominates": limit(record, "g-dominates", "auc")},
    )  # fmt: skip
    _curves(
        record, below, DIVERSITY, "diversity", 1.2,
        {"mode-collapse, warn": limit(record, "mode-collapse", "warn"),
         "mode-collapse, fatal": limit(record, "mode-collapse", "fatal")},
    )  # fmt: skip
    return figure, CAPTION


def _curves(
    record: Record,
    ax: "Axes",
    lines: tuple[tuple[str, str, str], ...],
    title: str,
    top: float,
    limits: dict[str, float | None],
) -> None:
    """Curves of shares; what lies outside stays at the edge, what is no number is left out."""
    probes = [record.probes[i] for i in thinned(len(record.probes), POINTS)]
    points = {
        name: [(p.step, p.numbers[name]) for p in probes if math.isfinite(p.numbers.get(name, math.nan))]
        for name, _, _ in lines
    }
    top = max(top, min(1.5, max((1.05 * v for found in points.values() for _, v in found), default=top)))
    ax.set_ylim(-0.03, top)
    ax.set_ylabel(title)
    ends = thresholds(ax, limits)
    for name, word, colour in lines:
        if points[name]:
            values = [min(max(value, 0.0), top) for _, value in points[name]]
            marker = "o" if len(values) < 3 else None
            ax.plot(
                [step for step, _ in points[name]],
                values,
                color=colour,
                marker=marker,
                clip_on=False,
                linestyle="-" if name == lines[0][0] else (0, (3, 1.5)),
            )
            ends.append(End(values[-1], word, colour))
    label_ends(ax, ends)
