"""Numbers for the log, left on the device until somebody looks."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from attrs import define, field
from torch import Tensor

from gancore.training.ranks import ALONE, Ranks


class Numbers:
    """Collects numbers by name, one by one or in rows as graphs leave them; `fetch` waits for the device once, for all
    of them (and once more for other processes, where there are some)."""

    COMPACT_AT = 1024  # values kept of the same names before they are summed up: bounds memory in runs that hardly log

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], _Kept] = {}

    def add(self, name: str, value: Tensor) -> None:
        """One number.

        Raises:
            ValueError: it is none, or several.
        """
        if value.dim():
            if value.numel() != 1:
                raise ValueError(f"{name!r} is a number for the log, and has shape {tuple(value.shape)}")
            value = value.reshape(())
        self.add_row((name,), value)

    def add_row(self, names: tuple[str, ...], values: Tensor) -> None:
        """Several numbers in one tensor, as `as_row` puts them."""
        kept = self._kept.get(names)
        if kept is None:
            kept = self._kept[names] = _Kept()
        kept.values.append(values.detach() if values.requires_grad else values)
        if len(kept.values) >= self.COMPACT_AT:
            kept.sum_up()

    def as_row(self) -> tuple[tuple[str, ...], list[Tensor]]:
        """The names of what was added, and all of it as one tensor, in a list; nothing if nothing was. One number by
        itself stays 0-d."""
        names = tuple(name for of, kept in self._kept.items() for _ in kept.values for name in of)
        values = [value for kept in self._kept.values() for value in kept.values]
        if len(values) < 2:
            return names, values
        alike = len({value.dtype for value in values}) == 1  # else all of them fit into the widest
        return names, [torch.cat([value.reshape(-1) if alike else value.reshape(-1).double() for value in values])]

    def fetch(self, ranks: Ranks = ALONE) -> dict[str, float]:
        """The means since the last fetch, over all processes. Waits for the device."""
        if not self._kept:
            return {}
        joined = torch.cat([part.reshape(-1).double() for kept in self._kept.values() for part in kept.parts()])
        device, values = joined.device, joined.tolist()
        columns: dict[str, list[float]] = defaultdict(list)
        counts: dict[str, int] = defaultdict(int)
        begin = 0
        for names, kept in self._kept.items():
            end = begin + len(names) * (len(kept.values) + (kept.total is not None))
            for place, name in enumerate(names):
                columns[name] += values[begin + place : end : len(names)]
                counts[name] += kept.count + len(kept.values)
            begin = end
        assert begin == len(values), "a row has one number for each of its names"
        self._kept = {}
        means = [_sum(columns[name]) / counts[name] for name in sorted(columns)]
        if ranks.size > 1:
            means = ranks.average(torch.tensor(means, dtype=torch.float64, device=device)).tolist()
        return dict(zip(sorted(columns), means, strict=True))

    def state_dict(self) -> list[dict[str, Any]]:
        """What was added since the last fetch, value by value: summed up early, the mean could differ in its last
        bit."""
        return [
            {
                "names": list(names),
                "values": torch.stack(kept.values) if kept.values else [],
                "sum": [] if kept.total is None else [kept.total, kept.count],
            }
            for names, kept in self._kept.items()
        ]

    def load_state_dict(self, state: Sequence[dict[str, Any]], device: torch.device) -> None:
        self._kept = {}
        for group in state:
            values = list(group["values"].to(device)) if len(group["values"]) else []
            total, count = (group["sum"][0].to(device), group["sum"][1]) if group["sum"] else (None, 0)
            self._kept[tuple(group["names"])] = _Kept(values, total, count)


@define(eq=False)
class _Kept:
    """Numbers of the same names.

    Attributes:
        values: 0-d, or rows; total: the sum of those before them, `count` of them.
    """

    values: list[Tensor] = field(factory=list)
    total: Tensor | None = None
    count: int = 0

    def sum_up(self) -> None:
        here = torch.stack(self.values).double().sum(0)
        self.total = here if self.total is None else self.total + here
        self.count += len(self.values)
        self.values = []

    def parts(self) -> Iterator[Tensor]:
        if self.total is not None:
            yield self.total
        if self.values:
            yield torch.stack(self.values)


def _sum(values: Sequence[float]) -> float:
    """Exactly, so that it does not matter in what order they came, nor in which rows until some are summed up."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # infinite ones, of both signs
        return sum(values)
