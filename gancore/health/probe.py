"""The probe: hands out the taps of phases, and makes one account of a step of what they have measured."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low
from typing import Any

import torch
from attrs import define
from torch import Tensor

from gancore.contracts import ROLES, Role, Vitals
from gancore.health.reading import Kind, Label, Reading, Sent, as_one
from gancore.health.taps import NOTHING, TINY, Aims, PhaseProbe

WINDOW = 5  # looks in which a unit must not have moved at all to be called dead
RARE = frozenset({
    "B", "C", "auc", "gap", "slope", "penalty/discriminator", "penalty/generator", "auc/seen", "auc/held-out",
    "diversity", "duplicates", "diversity/features", "update/discriminator", "update/generator",
})  # fmt: skip
WEIGHED = 50  # steps between two measurements, at least, of the penalties' own gradient: a double backward more
RARELY = 10  # steps between two measurements, at least, of what costs more than a look: RARE


class Probe:
    """Collects tensors in the steps that are probed; who asks for what was measured waits for the device.

    Args:
        aims: what there is to measure.
    """

    def __init__(self, aims: Aims | None = None) -> None:
        self.aims = aims or Aims()
        self._open: dict[Any, Reading] = {}  # by kind of phase, of those since the last probe was closed
        self._closed: list[_Closed] = []  # probes that were not fetched yet
        self._kept: dict[str, float] = {}  # of what is not measured in every probe
        self._dead: dict[str, dict[str, float]] = {}  # the shares that were last measured
        self._idle: dict[str, dict[str, list[int]]] = {}  # by role and layer: probes without a signal, by channel

    def phase(self, role: Role, *, whole: bool, weigh: bool = False, rare: bool = True) -> PhaseProbe:
        """The taps of one phase: `whole` measures all of it, `weigh` its penalties against its loss, `rare` also what
        costs more than a look."""
        if not (whole or weigh):
            return NOTHING
        taps = PhaseProbe(self.aims, role, whole=whole, weigh=weigh, rare=rare)
        self._open[role, taps.kind] = taps.reading  # in the place of that of a phase that broke off
        return taps

    def close(self, step: int) -> None:
        """What was collected since the last time is of this step. Does not wait for the device."""
        if readings := [reading for reading in self._open.values() if reading.parts]:
            self._closed.append(_Closed(step, readings))
        self._open = {}

    def send(self, step: int) -> None:
        """After this step, let all closed probes be on their way to the host. Does not wait for the device."""
        if left := [closed for closed in self._closed if closed.sent is None]:
            sent = Sent([value for closed in left for value in closed.tensors])
            begin = 0
            for closed in left:
                closed.sent = step, sent, begin
                begin += len(closed.tensors)

    def next(self, until: float = math.inf) -> Vitals | None:
        """The first probe that nobody has asked for yet; None if there is none. Waits for the device, once for all that
        were sent together.

        Args:
            until: only if it was sent up to this step, and the device may go on with what comes later.
        """
        if not self._closed:
            return None
        first = self._closed[0]
        if until == math.inf:
            self.send(first.step)
        if first.sent is None or first.sent[0] > until:
            return None
        del self._closed[0]
        return self._vitals(first.step, first.values)

    def fetched(self) -> list[Vitals]:
        """All that nobody has asked for yet, step by step."""
        return list(iter(self.next, None))

    def fetch(self, step: int) -> Vitals:
        """What was measured last, with what was collected since as that of `step`."""
        self.close(step)
        return [Vitals(step, self._kept, {}), *self.fetched()][-1]

    def _vitals(self, step: int, found: Iterable[tuple[Sequence[Label], list[float]]]) -> Vitals:
        numbers: dict[str, float] = {}
        others: dict[Kind, dict[str, dict[str, float]]] = defaultdict(dict)
        channels: dict[str, dict[str, list[float]]] = defaultdict(dict)
        for labels, values in found:
            end = 0
            for kind, role, name, factor, size in labels:
                begin, end = end, end + size
                if kind == "channel":
                    channels[role][name] = values[begin:end]
                    continue
                value = values[begin] * factor
                if kind == "number":
                    numbers[name] = numbers[name] + value if name in numbers else value
                else:
                    named = others[kind].setdefault(role, {})
                    named[name] = math.hypot(named[name], value) if name in named else value
        for role, layers in channels.items():
            arrived = others["arrived"].get(role, {}).values()
            self._dead[role] = self._shares_of_dead(role, layers, any(arrived) if arrived else True)
        for role, steps in others["step"].items():
            weights = others["weight"][role]
            numbers[f"update/{role}"] = _median([step / (weights[name] + TINY) for name, step in steps.items()])
        of_layers: dict[Role, dict[str, dict[str, float]]] = {}
        for role in ROLES:
            if signals := others["gradient"].get(role):
                first, *_, last = (*signals.values(), *signals.values())
                numbers[f"rho/{role}"] = first / max(last, TINY)
                dead = self._dead.get(role, {})
                of_layers[role] = {name: {"gradient": g, "dead": dead.get(name, 0.0)} for name, g in signals.items()}
        if "gradient/generator" in numbers and "A" in numbers and "B" in numbers:
            numbers["C"] = numbers["gradient/generator"] / max(numbers["A"] * numbers["B"], TINY)
        self._kept |= {name: value for name, value in numbers.items() if name in RARE}
        return Vitals(step, {**self._kept, **numbers}, of_layers)

    def _shares_of_dead(self, role: str, layers: Mapping[str, Sequence[float]], arrived: bool) -> dict[str, float]:
        """For every layer, the share of channels without any signal in the last WINDOW probes in which one arrived at
        the network's output: where nothing is to be heard, its units are not to blame for hearing nothing."""
        before, shares = self._idle.get(role, {}), {}
        idle = self._idle[role] = {}
        for name, signals in layers.items():
            counts = before.get(name, [])
            if all(signals) or len(counts) != len(signals):  # as mostly
                counts = [0] * len(signals)
            if not all(signals):
                counts = [0 if signal else n + arrived for signal, n in zip(signals, counts, strict=True)]
            idle[name], shares[name] = counts, sum(n >= WINDOW for n in counts) / len(counts) if any(counts) else 0.0
        return shares

    def state_dict(self) -> dict[str, Any]:
        return {
            "idle": {
                role: {name: torch.tensor(counts, dtype=torch.int32) for name, counts in layers.items()}
                for role, layers in self._idle.items()
            },
            "dead": {role: dict(shares) for role, shares in self._dead.items()},
            "kept": self._kept,
            "open": [_written(reading) for reading in self._open.values() if reading.parts],
            "closed": [{"step": kept.step, "readings": list(map(_written, kept.readings))} for kept in self._closed],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._idle = {
            role: {name: counts.tolist() for name, counts in layers.items()} for role, layers in state["idle"].items()
        }
        self._dead = {role: dict(shares) for role, shares in state["dead"].items()}
        self._kept = dict(state["kept"])
        self._open = dict(enumerate(map(_read, state["open"])))
        self._closed = [_Closed(probe["step"], list(map(_read, probe["readings"]))) for probe in state["closed"]]


@define(eq=False)
class _Closed:
    """What was measured in a step, and whether it is on its way to the host.

    Attributes:
        sent: after which step; the tensors it was sent with, and where among them its own begin.
    """

    step: int
    readings: list[Reading]
    sent: tuple[int, Sent, int] | None = None

    @property
    def tensors(self) -> list[Tensor]:
        return [value for reading in self.readings for _, value in reading.parts]

    @property
    def values(self) -> list[tuple[Sequence[Label], list[float]]]:
        """Labels, and what they label. Waits for the device."""
        assert self.sent is not None
        _, sent, begin = self.sent
        labels = [labels for reading in self.readings for labels, _ in reading.parts]
        return list(zip(labels, sent.values[begin : begin + len(labels)], strict=True))


def _written(reading: Reading) -> dict[str, Any]:
    """For a checkpoint: a label for every value."""
    labels, values = as_one(reading.parts)
    return {"labels": [label[:4] for label in labels for _ in range(label[4])], "values": values}


def _read(written: Mapping[str, Any]) -> Reading:
    """From a checkpoint: what has one label is of one layer's channels."""
    labels: list[Label] = []
    for label, values in itertools.groupby(written["labels"]):
        n = len(list(values))
        labels += [(*label, n)] if label[0] == "channel" else [(*label, 1)] * n
    return Reading([(labels, written["values"])])


def _median(values: Sequence[float]) -> float:
    """The lower one of two; NaN if one is."""
    return math.nan if any(map(math.isnan, values)) else median_low(values)
