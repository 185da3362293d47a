"""Dead units over time."""

from typing import TYPE_CHECKING

from gancore.contracts import ROLES
from gancore.health.record import Record
from gancore.health.report.axes import End, label_ends, over_time, thresholds
from gancore.health.report.few import thinned
from gancore.health.report.limits import limit
from gancore.health.report.style import OF_ROLE, POINTS
from gancore.health.words import ROLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION = (
    "Dead units. The share of channels whose signal was exactly 0 for every sample of the last five probes: in the "
    "worst layer of each network (solid) and on average over its layers (thin). A ReLU that is off for all inputs "
    "gets no gradient and never comes back."
)


def dead(record: Record) -> "tuple[Figure, str]":
    """The figure and its caption."""
    figure, axes = over_time(record, [1.35])
    (ax,) = axes
    probes = [record.probes[i] for i in thinned(len(record.probes), POINTS)]
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_ylabel("dead units")
    ends = thresholds(
        ax,
        {"dead-units, warn": limit(record, "dead-units", "warn"),
         "dead-units, fatal": limit(record, "dead-units", "fatal")},
    )  # fmt: skip
    for role in ROLES:
        found = [
            (p.step, [min(1.0, max(0.0, layer["dead"])) for layer in p.layers[role].values()])
            for p in probes
            if role in p.layers
        ]
        if not found:
            continue
        steps, marker = [step for step, _ in found], "o" if len(found) < 3 else None
        worst = [max(shares) for _, shares in found]
        ax.plot(steps, worst, color=OF_ROLE[role], marker=marker, clip_on=False)
        ax.plot(steps, [sum(s) / len(s) for _, s in found], color=OF_ROLE[role], linewidth=0.7, clip_on=False)
        ends.append(End(worst[-1], f"{ROLE[role]}, worst layer", OF_ROLE[role]))
    label_ends(ax, ends)
    return figure, CAPTION
