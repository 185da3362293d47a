"""Numbers for the log, left on the device until somebody looks."""

from typing import Any

import torch
from torch import Tensor

from gancore.training.ranks import ALONE, Ranks


class Numbers:
    """Collects 0-d tensors by name; `fetch` waits for the device once, for all of them."""

    COMPACT_AT = 1024  # values kept per name before they are summed up: bounds memory in runs that hardly log

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, name: str, value: Tensor) -> None:
        values = self._values.setdefault(name, [])
        values.append(value.detach() if value.requires_grad else value)
        if len(values) >= self.COMPACT_AT:
            self._sums[name] = self._sum(name)
            values.clear()

    def values(self) -> list[tuple[str, Tensor]]:
        """What was added, one by one."""
        return [(name, value) for name, values in self._values.items() for value in values]

    def fetch(self, ranks: Ranks = ALONE) -> dict[str, float]:
        """The means since the last fetch, over all processes. Waits for the device."""
        if not self._values:
            return {}
        names = sorted(self._values)
        sums = [self._sum(name) for name in names]
        means = ranks.average(torch.stack([total / count for total, count in sums])).tolist()
        self._values, self._sums = {}, {}
        return dict(zip(names, means, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """What was added since the last fetch, value by value: summed up early, the mean could differ in its last
        bit."""
        return {
            name: {"values": torch.stack(values) if values else [], "sum": list(self._sums.get(name, ()))}
            for name, values in self._values.items()
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self._values = {
            name: list(kept["values"].to(device)) if len(kept["values"]) else [] for name, kept in state.items()
        }
        self._sums = {name: (kept["sum"][0].to(device), kept["sum"][1]) for name, kept in state.items() if kept["sum"]}

    def _sum(self, name: str) -> tuple[Tensor, int]:
        values = self._values[name]
        total, count = self._sums.get(name, (None, 0))
        if values:
            here = torch.stack(values).double().sum()
            total = here if total is None else total + here
        assert total is not None
        return total, count + len(values)
