"""Heat maps: every layer's signal over the whole run."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gancore.contracts import ROLES
from gancore.health.record import Record
from gancore.health.report.axes import over_time, span
from gancore.health.report.few import every, shortened, thinned
from gancore.health.report.logscale import Log, power_of_ten
from gancore.health.report.style import BROKEN, DEAD, MUTED, NAME_OF

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 500  # probes that are drawn
MOST_NAMES = 24

CAPTION = (
    "Layers over time. The same signal in every probe, as a colour on a logarithmic scale: light is strong, dark is "
    "weak. Rows that darken towards the top are a gradient that vanishes with depth; columns that darken as a whole "
    "have lost it before this network (factors A and B)."
)


def heat(record: Record) -> "tuple[Figure, str]":
    """The figure and its caption."""
    import matplotlib
    import numpy as np
    from matplotlib.colors import Normalize
    from matplotlib.patches import Patch

    layers = record.layers
    roles = [role for role in reversed(ROLES) if role in layers]
    probes = [record.probes[i] for i in thinned(len(record.probes), COLUMNS)]
    figure, axes = over_time(record, [min(3.2, max(1.1, 0.15 * len(layers[role]))) for role in roles], on_colours=True)
    tables: dict[Any, Any] = {
        role: np.array(
            [[p.layers.get(role, {}).get(name, {}).get("gradient", math.nan) for p in probes] for name in layers[role]]
        )
        for role in roles
    }
    met = {
        role: np.array([[name in p.layers.get(role, {}) for p in probes] for name in layers[role]]) for role in roles
    }
    scale = Log.around((float(v) for role in roles for v in tables[role][met[role]]), least=4)
    colours = matplotlib.colormaps["viridis"].with_extremes(under=DEAD, bad="white")
    norm = Normalize(scale.low, scale.high)
    edges = _edges([probe.step for probe in probes], *span(record))
    broken = False
    for ax, role in zip(axes, roles, strict=True):
        values, there = tables[role], met[role]
        sick = there & ~(np.isfinite(values) & (values >= 0))
        broken = broken or bool(sick.any())
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(values == 0, scale.low - 1, np.log10(values))
        shown = np.ma.masked_where(~there | sick, logs)
        rows = np.arange(len(layers[role]) + 1) - 0.5
        mesh = ax.pcolormesh(edges, rows, shown, cmap=colours, norm=norm, rasterized=True)
        if sick.any():
            black = np.ma.masked_where(~sick, np.ones_like(values))
            ax.pcolormesh(edges, rows, black, cmap="gray", vmin=1, vmax=2, rasterized=True)
        names = every(len(layers[role]), MOST_NAMES)
        ax.set_yticks(names, [shortened(layers[role][i], 17) for i in names], fontsize=6.5)
        ax.set_ylim(len(layers[role]) - 0.5, -0.5)
        ax.grid(False)
        ax.tick_params(axis="y", length=0)
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        ax.annotate(
            NAME_OF[role], (1, 1), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points",
            va="top", fontsize=7.5, color=MUTED, annotation_clip=False,
        )  # fmt: skip
    box, name = axes[0].get_position(), 0.22 / figure.get_figheight()  # the bar stands below the network's name
    bar = figure.add_axes((box.x1 + 0.02, box.y0, 0.014, box.height - name))
    stride = max(1, math.ceil((scale.high - scale.low) / 8))
    ticks = [e for e in range(scale.low, scale.high + 1) if e % stride == 0]
    colorbar = figure.colorbar(mesh, cax=bar)
    colorbar.set_ticks(ticks, labels=[power_of_ten(e) for e in ticks])
    colorbar.outline.set_visible(False)
    bar.tick_params(labelsize=6.5, length=2)
    special = [(DEAD, "exactly 0")] if scale.zeros else []
    special += [(BROKEN, "NaN, ∞")] if broken else []
    if special:
        figure.legend(
            handles=[Patch(color=colour, label=word) for colour, word in special],
            loc="lower right", bbox_to_anchor=(1, 0), fontsize=6.5, handlelength=1, borderaxespad=0.2,
        )  # fmt: skip
    said = " Orange is exactly zero: the layer is dead." if scale.zeros else ""
    return figure, CAPTION + said + (" Black is no finite number." if broken else "")


def _edges(steps: Sequence[int], low: float, high: float) -> list[float]:
    """Half-way between neighbouring probes."""
    return [low, *((a + b) / 2 for a, b in pairwise(steps)), high]
