"""What phases have measured: labelled tensors, left on the device until somebody looks."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal

import torch
from attrs import define, field
from torch import Tensor

from gancore.contracts import Role

Kind = Literal["number", "gradient", "channel", "arrived", "weight", "step"]
Label = tuple[Kind, str, str, float, int]
"""Of measured values: their kind; the network's role, if they are of a part of one; their name; a factor; how many
they are.

number    of the whole game. Several of one name are summands.
gradient  norm of the signal at a layer. Several of one name are the norms of its parts.
channel   the largest signals that came to a layer's channels: as many as it has
arrived   not 0 if a signal came to the network's output
weight    standard deviation of a weight
step      and of the optimizer's step from it
"""


@define(eq=False)
class Reading:
    """What one phase has measured.

    Attributes:
        parts: labels, and a tensor of what they label: 0-d if that is one value, else a vector.
    """

    parts: list[tuple[Sequence[Label], Tensor]] = field(factory=list)

    def add(
        self, name: str, value: Tensor, factor: float = 1.0, *, kind: Kind = "number", role: Role | str = ""
    ) -> None:
        """One value, 0-d."""
        self.parts.append((((kind, role, name, factor, 1),), value.detach()))

    def add_all(self, names: Iterable[str], values: Tensor, kind: Kind, role: Role) -> None:
        """A value for each of the names, `(n,)`."""
        self.parts.append((tuple((kind, role, name, 1.0, 1) for name in names), values.detach()))

    def add_channels(self, name: str, values: Tensor, role: Role) -> None:
        """Those of a layer, `(channels,)`."""
        self.parts.append(((("channel", role, name, 1.0, len(values)),), values.detach()))

    def packed(self) -> "Reading":
        """The same in one vector: what a graph leaves is to be little."""
        return Reading([as_one(self.parts)]) if self.parts else self


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


class Sent:
    """Values on their way to the host. What a device has to do after them does not delay them.

    Args:
        values: tensors, 0-d or vectors.
    """

    def __init__(self, values: Sequence[Tensor]) -> None:
        self._order, self._parts, self._copied = list(range(len(values))), list(values), None
        self._sizes = [value.numel() for value in values]
        if any(value.is_cuda for value in values):
            self._order, vector = joined(values)
            self._parts = [vector.to("cpu", non_blocking=True)]
            self._copied = torch.cuda.current_stream(vector.device).record_event() if vector.is_cuda else None

    @cached_property
    def values(self) -> list[list[float]]:
        """The numbers in each of the tensors. Waits until they are there."""
        if self._copied is not None:
            self._copied.synchronize()
        floats = [value for part in self._parts for value in (part.tolist() if part.dim() else (part.item(),))]
        found: list[list[float]] = [[]] * len(self._sizes)
        begin = 0
        for place in self._order:
            found[place] = floats[begin : begin + self._sizes[place]]
            begin += self._sizes[place]
        return found
