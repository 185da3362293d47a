"""A heat map of layers over time as an array of pixels: no plotting library is needed where it is to be quick."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOW, HIGH = -12, 2  # decades: the scale is the same in every picture, so that pictures can be compared
ZERO, BROKEN, EMPTY = (213, 94, 0), (0, 0, 0), (255, 255, 255)  # exactly 0; NaN, infinite; not measured
WIDTH, ROW, LEFT, BAR = 640, 16, 150, 60  # pixels: of the map, of a layer, of the names, of the scale
LETTERS = 22

# Of viridis (van der Walt & Smith 2015): from dark to light, the same to all kinds of colour vision.
_ANCHORS = (
    (68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140), (40, 174, 128), (94, 201, 98),
    (173, 220, 48), (253, 231, 37),
)  # fmt: skip


def heatmap(names: Sequence[str], columns: Sequence[Sequence[float]]) -> "NDArray[np.uint8]":
    """uint8 `(H, W, 3)`: a row for each name, the first one on top, and a column for each probe; a scale at the right.

    Args:
        columns: for each probe the value of every layer.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    height = max(ROW * len(names), 5 * ROW)
    values = np.array(columns, dtype=float).T.reshape(len(names), -1)
    cells = Image.fromarray(_colours(values)).resize((WIDTH, ROW * len(names)), Image.Resampling.NEAREST)
    scale = np.logspace(HIGH, LOW, height)[:, None]
    canvas = Image.new("RGB", (LEFT + WIDTH + BAR, height), EMPTY)
    canvas.paste(cells, (LEFT, 0))
    canvas.paste(Image.fromarray(_colours(scale)).resize((12, height)), (LEFT + WIDTH + 8, 0))
    draw = ImageDraw.Draw(canvas)
    for row, name in enumerate(names):
        word = name if len(name) <= LETTERS else f"{name[:8]}..{name[-(LETTERS - 10) :]}"
        draw.text((LEFT - 6, ROW * row + 2), word.encode("ascii", "replace").decode(), fill="black", anchor="ra")
    for y, exponent in ((0, HIGH), (height - 11, LOW)):
        draw.text((LEFT + WIDTH + 24, y), f"1e{exponent}", fill="black")
    return np.asarray(canvas)


def _colours(values: Any) -> "NDArray[np.uint8]":
    """The colours of values: logarithmic, with zeros and what is no number apart."""
    import numpy as np

    anchors = np.array(_ANCHORS, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = (np.log10(values) - LOW) / (HIGH - LOW) * (len(anchors) - 1)
    place = np.nan_to_num(np.clip(place, 0, len(anchors) - 1))
    colours = np.stack([np.interp(place, range(len(anchors)), anchors[:, c]) for c in range(3)], axis=-1)
    colours[values == 0] = ZERO
    colours[~np.isfinite(values) | (values < 0)] = BROKEN
    return colours.round().astype(np.uint8)


class Columns:
    """The signals of one network, probe by probe, as columns of a heat map.

    Where there are more than `most` columns, every other one is dropped: a long run needs no more memory than a short
    one.
    """

    def __init__(self, most: int = WIDTH) -> None:
        self._most, self._stride, self._count = most, 1, 0
        self.names: tuple[str, ...] = ()
        self.columns: list[list[float]] = []

    def add(self, signals: "dict[str, float]") -> None:
        if tuple(signals) != self.names:  # the layers that are met have changed: a new picture
            self.names, self.columns, self._stride, self._count = tuple(signals), [], 1, 0
        if self._count % self._stride == 0:
            self.columns.append(list(signals.values()))
        self._count += 1
        if len(self.columns) > self._most:
            del self.columns[1::2]
            self._stride *= 2
