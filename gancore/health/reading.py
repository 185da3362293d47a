"""What phases have measured: labelled tensors, left on the device until somebody looks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs
import torch
from attrs import define, field
from torch import Tensor

from gancore.contracts import Role

Label = tuple[str, str, str, float]
"""Of a measured value: number, gradient or dead; the network's role, if it is of a layer; name; a factor."""


def number(name: str) -> Label:
    return "number", "", name, 1.0


@define(eq=False)
class Reading:
    """What one phase has measured.

    Attributes:
        role: whose phase it was.
        parts: labels, and a tensor with as many values: 0-d for one of them, else `(len(labels),)`.
        channels: by layer, how many channels were looked at; empty where none were.
        moved: `(channels of all layers,)` bool, whether a signal came to each.
        arrived: 0-d bool, whether any came to the network's output.
    """

    role: Role
    parts: list[tuple[Sequence[Label], Tensor]] = field(factory=list)
    channels: Mapping[str, int] = field(factory=dict)
    moved: Tensor | None = None
    arrived: Tensor | None = None

    def add(self, name: str, value: Tensor) -> None:
        """A number, 0-d."""
        self.parts.append(((number(name),), value.detach()))

    def take(self, other: "Reading") -> None:
        """What was measured in another phase like this one."""
        self.parts += other.parts
        self.channels, self.moved, self.arrived = other.channels, other.moved, other.arrived

    @property
    def names(self) -> frozenset[str]:
        """Of everything with a label."""
        return frozenset(name for labels, _ in self.parts for _, _, name, _ in labels)

    @property
    def tensors(self) -> list[Tensor]:
        return [*(value for _, value in self.parts), *(x for x in (self.moved, self.arrived) if x is not None)]

    def of(self, tensors: Iterable[Tensor]) -> "Reading":
        """A reading like this one, with others in the places of its `tensors`."""
        left = iter(tensors)
        parts = [(labels, next(left)) for labels, _ in self.parts]
        moved, arrived = (None if x is None else next(left) for x in (self.moved, self.arrived))
        return Reading(self.role, parts, self.channels, moved, arrived)

    def packed(self) -> "Reading":
        """The same, in one vector: what a graph leaves is to be few tensors."""
        if not self.parts:
            return self
        order, values = joined([value for _, value in self.parts])
        labels = tuple(label for place in order for label in self.parts[place][0])
        return attrs.evolve(self, parts=[(labels, values)])


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
        some = [values[place].to(here) for place in places]
        parts.append((torch.stack(some) if single else torch.cat(some)).double())
    return [place for places in kinds.values() for place in places], torch.cat(parts)


def looked_at(readings: Sequence[tuple[int, Reading]]) -> Iterator[tuple[int, Sequence[Label], list[float]]]:
    """The values of numbered readings, piece by piece with their number. Waits for the device, once."""
    pieces = [(number, labels, value) for number, reading in readings for labels, value in reading.parts]
    if not pieces:
        return
    order, values = joined([value for _, _, value in pieces])
    floats, begin = values.tolist(), 0
    for place in order:
        number, labels, _ = pieces[place]
        yield number, labels, floats[begin : begin + len(labels)]
        begin += len(labels)
