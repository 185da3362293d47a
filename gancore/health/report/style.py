"""How all figures look: one width, and one set of colours that also the colour-blind can tell apart."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gancore.contracts import Role

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

WIDTH = 6.6  # inches
LEFT, RIGHT = 1.0, 1.15  # inches beside the axes over time: the same in all of them, so that steps line up
POINTS = 1500  # of a curve: more than pixels

# Okabe & Ito (2008): eight colours that stay apart with every kind of colour vision.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
INK, MUTED, RULE = "#1a1a1a", "#6b6b6b", "#d9d9d9"
OF_ROLE: Mapping[Role, str] = {"generator": BLUE, "discriminator": VERMILION}
NAME_OF: Mapping[Role, str] = {"generator": "generator G", "discriminator": "discriminator D"}
OF_SEVERITY = {"fatal": "#B3261E", "warn": "#9A6700", "note": MUTED}
DEAD, BROKEN = "#D55E00", "#000000"  # exactly zero; not a finite number

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "text.parse_math": False,  # names of layers may hold dollars
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "grid.color": "#ececec",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 200,
    "svg.hashsalt": "gancore",  # the same run gives the same file
}


@contextmanager
def styled(*, text: bool) -> Iterator[None]:
    """Around making and saving figures. `text`: letters stay letters (they take the font of the page around them)
    instead of becoming outlines (which look the same everywhere)."""
    import warnings

    import matplotlib

    style: Any = _STYLE | {"svg.fonttype": "none" if text else "path"}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # somebody's names of layers
        yield


def sequential() -> "Colormap":
    """From dark to light, without the end that cannot be seen on white."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["viridis"]([0.9 * i / 255 for i in range(256)]))
