"""What phases have measured: labelled tensors, left on the device until somebody looks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import attrs
import torch
from attrs import define, field
from torch import Tensor

from gancore.contracts import Role

Kind = Literal["number", "gradient", "dead"]
Label = tuple[Kind, str, str, float]
"""Of a measured value: its kind; the network's role, if it is of a layer; its name; a factor.

Several values with one name are parts of one: of numbers the sum counts, of gradients, which are norms, the norm."""


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

    def add(self, name: str, value: Tensor, factor: float = 1.0, *, kind: Kind = "number", role: str = "") -> None:
        """One value, 0-d."""
        self.parts.append((((kind, role, name, factor),), value.detach()))

    def take(self, other: "Reading") -> None:
        """What was measured in another phase like this one."""
        self.parts += other.parts
        self.channels, self.moved, self.arrived = other.channels, other.moved, other.arrived

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
        """The same, in one vector and with one value for a name: what a graph leaves is to be little."""
        if not self.parts:
            return self
        singles: dict[tuple[Kind, str, str], list[tuple[float, Tensor]]] = {}
        parts: list[tuple[Sequence[Label], Tensor]] = []
        for labels, value in self.parts:
            if value.dim() == 0:
                ((kind, role, name, factor),) = labels
                singles.setdefault((kind, role, name), []).append((factor, value))
            else:
                parts.append((labels, value))
        for (kind, role, name), found in singles.items():
            factor, value = found[0]
            if len(found) > 1:
                values = torch.stack([value * factor for factor, value in found])
                factor, value = 1.0, values.sum() if kind == "number" else torch.linalg.vector_norm(values)
            parts.append((((kind, role, name, factor),), value))
        order, vector = joined([value for _, value in parts])
        packed = tuple(label for place in order for label in parts[place][0])
        return attrs.evolve(self, parts=[(packed, vector)])


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


def looked_at(steps: Sequence[Sequence[Reading]]) -> list[list[tuple[Label, float]]]:
    """The values of each step's readings, with their labels. Waits for the device, once."""
    found: list[list[tuple[Label, float]]] = [[] for _ in steps]
    pieces = [
        (of_step, labels, value)
        for of_step, readings in zip(found, steps, strict=True)
        for reading in readings
        for labels, value in reading.parts
    ]
    if not pieces:
        return found
    order, values = joined([value for *_, value in pieces])
    floats, begin = values.tolist(), 0
    for place in order:
        of_step, labels, _ = pieces[place]
        of_step += zip(labels, floats[begin : begin + len(labels)], strict=True)
        begin += len(labels)
    return found
