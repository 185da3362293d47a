"""What phases have measured: labelled tensors, left on the device until somebody looks."""

from collections.abc import Sequence
from typing import Literal

import torch
from attrs import define, field
from torch import Tensor

from gancore.contracts import Role

Kind = Literal["number", "gradient", "channel", "arrived", "weight", "step"]
Label = tuple[Kind, str, str, float]
"""Of a measured value: its kind; the network's role, if it is of a part of one; its name; a factor.

number    of the whole game. Several of one name are summands.
gradient  norm of the signal at a layer. Several of one name are the norms of its parts.
channel   the largest signal that came to one of a layer's channels: as many of one name as it has channels
arrived   not 0 if a signal came to the network's output
weight    standard deviation of a weight
step      and of the optimizer's step from it
"""


@define(eq=False)
class Reading:
    """What one phase has measured.

    Attributes:
        parts: labels, and a tensor with as many values: 0-d for one of them, else `(len(labels),)`; that of channels
            has no others.
    """

    parts: list[tuple[Sequence[Label], Tensor]] = field(factory=list)

    def add(
        self, name: str, value: Tensor, factor: float = 1.0, *, kind: Kind = "number", role: Role | str = ""
    ) -> None:
        """One value, 0-d."""
        self.parts.append((((kind, role, name, factor),), value.detach()))

    def add_channels(self, name: str, values: Tensor, role: Role) -> None:
        """Those of a layer, `(channels,)`."""
        label: Label = ("channel", role, name, 1.0)
        self.parts.append(((label,) * len(values), values.detach()))

    def packed(self) -> "Reading":
        """The same, with one value for a name, in one vector for channels and one for all else: what a graph leaves is
        to be little."""
        singles: dict[tuple[Kind, str, str], list[tuple[float, Tensor]]] = {}
        vectors: tuple[list[tuple[Sequence[Label], Tensor]], ...] = ([], [])
        for labels, value in self.parts:
            kind, role, name, factor = labels[0]
            if value.dim() == 0:
                singles.setdefault((kind, role, name), []).append((factor, value))
            else:
                vectors[kind == "channel"].append((labels, value))
        for (kind, role, name), found in singles.items():
            factor, value = found[0]
            if len(found) > 1:
                values = torch.stack([value * factor for factor, value in found])
                factor, value = 1.0, values.sum() if kind == "number" else torch.linalg.vector_norm(values)
            vectors[False].append((((kind, role, name, factor),), value))
        return Reading([as_one(parts) for parts in vectors if parts])


def as_one(parts: Sequence[tuple[Sequence[Label], Tensor]]) -> tuple[Sequence[Label], Tensor]:
    """All labels, and one float64 vector of all values."""
    order, vector = joined([value for _, value in parts])
    return tuple(label for place in order for label in parts[place][0]), vector


def joined(values: Sequence[Tensor]) -> tuple[list[int], Tensor]:
    """One float64 vector of all values, and in which order they are in it.

    Values of a kind are converted together, as their number is what costs. Those from a checkpoint may be on another
    device than the newest.
    """
    kinds: dict[tuple[bool, torch.dtype], list[int]] = {}
    for place, value in enumerate(values):
        kinds.setdefault((value.dim() == 0, value.dtype), []).append(place)
    here = values[-1].device
    parts = []
    for (single, _), places in kinds.items():
        some = [value if value.device == here else value.to(here) for value in map(values.__getitem__, places)]
        parts.append((torch.stack(some) if single else torch.cat(some)).double())
    return [place for places in kinds.values() for place in places], torch.cat(parts)


def looked_at(values: Sequence[Tensor]) -> list[list[float]]:
    """The numbers in each of them. Waits for the device, once."""
    if not values:
        return []
    order, vector = joined(values)
    floats, begin = vector.tolist(), 0
    found: list[list[float]] = [[]] * len(values)
    for place in order:
        found[place] = floats[begin : begin + values[place].numel()]
        begin += values[place].numel()
    return found
