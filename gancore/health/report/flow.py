"""Gradient flow: how strong the back-propagated signal is at every layer, at a few times of the run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gancore.contracts import ROLES, Role, Vitals
from gancore.health.record import Record
from gancore.health.report.few import every, shortened, thinned
from gancore.health.report.logscale import Log
from gancore.health.report.style import BROKEN, DEAD, MUTED, NAME_OF, WIDTH, sequential

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

TIMES = 5
MOST_NAMES = 40  # more names of layers than this cannot be read

CAPTION = (
    "Gradient flow. Root mean square of the back-propagated signal at the output of every layer (of the mean loss "
    "times the batch size, so that it does not depend on it), at {times}. The signal enters at the last layer, at the "
    "bottom, and travels up to the first; a healthy network keeps it within about two decades, a line that runs to "
    "the left dies on its way up, one that runs to the right explodes."
)


def flow(record: Record) -> "tuple[Figure, str]":
    """The figure and its caption."""
    heard = [probe for probe in record.probes if probe.layers]
    chosen = [heard[i] for i in thinned(len(heard), TIMES)]
    figure = flow_of(chosen, record.layers)
    steps = [f"{probe.step:,}" for probe in chosen]
    times = "step " + steps[0] if len(steps) == 1 else f"steps {', '.join(steps[:-1])} and {steps[-1]}"
    return figure, CAPTION.format(times=times) + _about_zeros(chosen)


def flow_of(probes: Sequence[Vitals], layers: "Mapping[Role, tuple[str, ...]]") -> "Figure":
    """A panel for each network, a line for each probe, dark (early) to light (late)."""
    from matplotlib.figure import Figure

    roles = [role for role in reversed(ROLES) if role in layers]  # G first: it is the one in question
    rows = max(len(layers[role]) for role in roles)
    height = min(7.5, max(1.7, 0.19 * rows)) + 1.05
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05, wspace=0.05)  # type: ignore[union-attr, call-arg]
    axes = figure.subplots(1, len(roles), squeeze=False)[0]
    scale = Log.around(
        (found["gradient"] for probe in probes for network in probe.layers.values() for found in network.values()),
        least=4,
    )
    colours = sequential()([i / max(1, len(probes) - 1) for i in range(len(probes))])
    handles: list[Line2D] = []
    for ax, role in zip(axes, roles, strict=True):
        names = layers[role]
        handles = [
            _line(ax, [probe.layers.get(role, {}).get(name, {}).get("gradient") for name in names], scale, colour)
            for probe, colour in zip(probes, colours, strict=True)
        ]
        _name_layers(ax, names)
        scale.dress(ax, "x", most=5)
        ax.grid(True, axis="x")
        ax.set_title(NAME_OF[role])
        ax.set_xlabel("rms of the signal")
    _arrow(axes[0])
    if len(probes) > 1:
        figure.legend(
            handles, [f"step {probe.step:,}" for probe in probes], loc="outside lower center", ncols=len(probes)
        )
    return figure


def _line(ax: "Axes", signals: "Sequence[float | None]", scale: Log, colour: object) -> "Line2D":
    heard = [(row, signal) for row, signal in enumerate(signals) if signal is not None]
    (line,) = ax.plot(
        [scale.at(signal) for _, signal in heard], [row for row, _ in heard],
        color=colour, marker="o", markersize=3,
    )  # fmt: skip
    for mark, of, place in (("x", DEAD, 0.0), ("s", BROKEN, float("inf"))):
        rows = [row for row, signal in heard if scale.at(signal) == scale.at(place)]
        if rows:
            ax.plot([scale.at(place)] * len(rows), rows, mark, color=of, markersize=4.5, markeredgewidth=1.3, zorder=4)
    return line


def _name_layers(ax: "Axes", names: Sequence[str]) -> None:
    rows = every(len(names), MOST_NAMES)
    ax.set_yticks(rows, [shortened(names[row]) for row in rows])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _arrow(ax: "Axes") -> None:
    """Which way the signal travels."""
    ax.annotate(
        "", (1.02, 0.97), (1.02, 0.03), xycoords="axes fraction",
        arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        annotation_clip=False,
    )  # fmt: skip
    ax.annotate(
        "back-propagation", (1.02, 0.5), xytext=(3, 0), textcoords="offset points", xycoords="axes fraction",
        rotation=90, va="center", ha="left", fontsize=6.5, color=MUTED, annotation_clip=False,
    )  # fmt: skip


def _about_zeros(probes: Sequence[Vitals]) -> str:
    signals = [found["gradient"] for probe in probes for network in probe.layers.values() for found in network.values()]
    said = ""
    if 0 in signals:
        said += " A cross in the column 0 is a layer that hears exactly nothing: it is dead."
    if any(signal != signal or abs(signal) == float("inf") for signal in signals):
        said += " A black square is a signal that is no finite number."
    return said
