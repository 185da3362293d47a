"""The probe: measures one step where the gradient is and where it dies, on the device and without an extra backward.

It taps the ordinary phases: gradients pass by the scores, the fakes and every layer's output anyway. What the chain
rule makes of them is the three-factor attribution of `gancore.contracts.Vitals`:

    ||dL_G / dtheta_G|| = A . B . C      slope of the loss, slope of D, and G's own back-propagation

Only two things need a backward of their own, on probed steps and through D alone: where D mixes samples, and where
the loss wants a D of bounded slope.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from statistics import median_low
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.utils import get_total_norm

from gancore.contracts import ROLES, Role, Vitals
from gancore.health.layers import Layers, weight_layers
from gancore.health.measures import auc, distances, duplicates, slope_at, slope_between, slopes
from gancore.health.reading import Kind, Label, Reading, looked_at

WINDOW = 5  # looks in which a unit must not have moved at all to be called dead
RARE = frozenset({
    "B", "C", "auc", "gap", "slope", "penalty/discriminator", "penalty/generator", "auc/seen", "auc/held-out",
    "diversity", "duplicates", "diversity/features", "update/discriminator", "update/generator",
})  # fmt: skip
WEIGHED = 50  # steps between two measurements, at least, of the penalties' own gradient: a double backward more
RARELY = 10  # steps between two measurements, at least, of what costs more than a look: RARE
TINY = 1e-30  # keeps quotients of float32 finite

Pair = tuple[Tensor, Tensor]
"""Of reals and of fakes."""


class Probe:
    """Collects tensors in the steps that are probed; `fetched` waits for the device once, for all of them.

    Args:
        mixes_samples: whether D says so: then ds_i/dx_i is measured by a backward of its own.
        lipschitz: whether the loss wants D's slope between reals and fakes.
        held_out: reals that D never trains on, with their labels; None for none.
    """

    def __init__(
        self,
        *,
        mixes_samples: bool = False,
        lipschitz: bool = False,
        held_out: "tuple[Tensor, Tensor | None] | None" = None,
    ) -> None:
        self.mixes_samples, self.lipschitz, self.held_out = mixes_samples, lipschitz, held_out
        self._readings: list[Reading] = []  # of phases since the last probe was closed
        self._closed: list[tuple[int, list[Reading]]] = []  # probes that were not fetched yet, by their steps
        self._kept: dict[str, float] = {}  # of what is not measured in every probe
        self._dead: dict[str, dict[str, float]] = {}  # the shares that were last measured
        self._networks: dict[Role, nn.Module] = {}
        self._weights: dict[Role, Mapping[str, nn.Module]] = {}
        self._idle: dict[str, list[int]] = {}  # by role, channel by channel: probes in a row without any signal

    def phase(self, role: Role, *, whole: bool, weigh: bool = False, rare: bool = True) -> "PhaseProbe":
        """The taps of one phase: `whole` measures all of it, `weigh` its penalties against its loss, `rare` also what
        costs more than a look."""
        if not (whole or weigh):
            return NOTHING
        taps = PhaseProbe(self, role, whole, weigh, rare)
        self._readings.append(taps.reading)
        return taps

    def apart(self, held_out: "tuple[Tensor | None, ...]") -> "Probe":
        """A probe that measures the same, of other reals that are held out, and has measured nothing yet."""
        given = (held_out[0], held_out[1]) if held_out else None
        return Probe(mixes_samples=self.mixes_samples, lipschitz=self.lipschitz, held_out=cast(Any, given))

    def close(self, step: int) -> None:
        """What was collected since the last time is of this step. Does not wait for the device: `fetched` does."""
        if any(reading.parts for reading in self._readings):
            self._closed.append((step, self._readings))
        self._readings = []

    def fetched(self) -> list[Vitals]:
        """What was measured since the last time, step by step. Waits for the device, once for all of them."""
        closed, self._closed = self._closed, []
        values = iter(looked_at([value for _, readings in closed for reading in readings for value in reading.tensors]))
        return [
            self._vitals(step, [(labels, next(values)) for reading in readings for labels, _ in reading.parts])
            for step, readings in closed
        ]

    def fetch(self, step: int) -> Vitals:
        """What was measured last, with what was collected since as that of `step`."""
        self.close(step)
        return [Vitals(step, self._kept, {}), *self.fetched()][-1]

    def _vitals(self, step: int, found: Iterable[tuple[Sequence[Label], list[float]]]) -> Vitals:
        numbers: dict[str, float] = {}
        others: dict[Kind, dict[str, dict[str, float]]] = defaultdict(dict)
        channels: dict[str, dict[str, list[float]]] = {}
        for labels, values in found:
            if labels[0][0] == "channel":
                begin = 0
                for (_, role, name, _), group in itertools.groupby(labels):
                    end = begin + len(list(group))
                    channels.setdefault(role, {}).setdefault(name, []).extend(values[begin:end])
                    begin = end
                continue
            for (kind, role, name, factor), value in zip(labels, values, strict=True):
                value *= factor
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
        signals = [signal for channels in layers.values() for signal in channels]
        idle = self._idle.get(role, [])
        if len(idle) != len(signals):
            idle = [0] * len(signals)
        if all(signals):  # as mostly
            self._idle[role] = [0] * len(signals)
            return dict.fromkeys(layers, 0.0)
        idle = self._idle[role] = [0 if signal else n + arrived for signal, n in zip(signals, idle, strict=True)]
        left = iter(idle)
        return {
            name: sum(n >= WINDOW for n in itertools.islice(left, len(channels))) / len(channels)
            for name, channels in layers.items()
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "idle": {role: torch.tensor(idle, dtype=torch.int32) for role, idle in self._idle.items()},
            "dead": {role: dict(shares) for role, shares in self._dead.items()},
            "kept": self._kept,
            "collected": {
                name: value
                for reading in self._readings
                for labels, values in reading.packed().parts
                for (_, _, name, _), value in zip(labels, values, strict=True)
            },
            "closed": [_written(step, readings) for step, readings in self._closed],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._idle = {role: idle.tolist() for role, idle in state["idle"].items()}
        self._dead = {role: dict(shares) for role, shares in state["dead"].items()}
        self._kept = dict(state["kept"])
        collected = Reading()
        for name, value in state["collected"].items():
            collected.add(name, value)
        self._readings = [collected] if collected.parts else []
        self._closed = [(probe["step"], [_read(probe["labels"], probe["values"])]) for probe in state["closed"]]

    def weight_layers(self, role: Role, network: nn.Module) -> Mapping[str, nn.Module]:
        """Those of a player's network, looked for once."""
        if self._networks.get(role) is not network:
            self._networks[role], self._weights[role] = network, weight_layers(network)
        return self._weights[role]


def _written(step: int, readings: Sequence[Reading]) -> dict[str, Any]:
    """For a checkpoint."""
    parts = Reading([part for reading in readings for part in reading.parts]).packed().parts
    labels = [label for some, _ in parts for label in some]
    return {"step": step, "labels": labels, "values": torch.cat([values for _, values in parts])}


def _read(labels: Sequence[Label], values: Tensor) -> Reading:
    """From a checkpoint."""
    pieces = itertools.groupby(range(len(labels)), lambda place: labels[place][0] == "channel")
    places = [list(group) for _, group in pieces]
    return Reading([([labels[place] for place in some], values[some[0] : some[-1] + 1]) for some in places])


def _median(values: Sequence[float]) -> float:
    """The lower one of two; NaN if one is."""
    return math.nan if any(map(math.isnan, values)) else median_low(values)


class PhaseProbe:
    """The taps of one phase, in the order in which the phase meets them.

    Up to the update they only collect and reduce tensors, without looking at one, so that a phase can be traced with
    their taps: what they measure on the way is in `reading`, and `give` puts it into that of other taps.

    Attributes:
        traceable: whether that is so.
        reading: what was measured up to now.
    """

    traceable: ClassVar[bool] = True

    def __init__(self, probe: Probe | None, role: Role, whole: bool, weigh: bool, rare: bool = False) -> None:
        self._probe, self._role, self._whole, self._weigh, self._rare = probe, role, whole, weigh, whole and rare
        self.reading = Reading()
        self._of_penalty: list[Tensor | None] = []
        self._layers: Layers | None = None
        self._scores: list[GradientEdge] = []
        self._fakes: list[GradientEdge] = []
        self._slopes: Tensor | None = None
        self._before: list[Tensor] = []
        self._averaged = False  # whether the gradient's norm is known

    def watching(self, network: nn.Module, samples: int | None = None) -> AbstractContextManager[object]:
        """Around the forward passes whose back-propagated signal is to be measured, layer by layer. `samples` is N."""
        if self._probe is None or not self._whole:
            return nullcontext()
        if self._layers is None:
            known = self._probe.weight_layers(self._role, network)
            self._layers = Layers(known, channels=self._rare)
        return self._layers.attached(samples)

    def passing(self, network: nn.Module) -> AbstractContextManager[object]:
        """Around the other forward passes."""
        return nullcontext()

    def given(self, real: Tensor) -> None:
        """The reals, as they come."""

    def scored(self, score: Tensor, fake: Tensor | None = None) -> None:
        """D's scores, and in G's phase the fakes that they are of."""
        if self._probe is None or not self._whole:
            return
        if score.requires_grad:
            self._scores.append(get_gradient_edge(score))
        if fake is not None:
            if self._probe.mixes_samples and self._rare:
                self._slopes = slopes(score, fake)
            if fake.requires_grad:
                self._fakes.append(get_gradient_edge(fake))

    def compared(self, D: nn.Module, drawn: Pair, scores: Pair, labels: "tuple[Tensor | None, Tensor | None]") -> None:
        """Reals and fakes side by side, before augmentation, with their scores: balance and diversity."""
        if self._probe is None or not self._rare:
            return
        add = self.reading.add
        with torch.no_grad():
            real_score, fake_score = scores[0].detach(), scores[1].detach()
            add("auc", auc(real_score, fake_score))
            add("gap", real_score.mean() - fake_score.mean())
            real, fake = drawn[0].detach(), drawn[1].detach()
            # How far fakes are from each other, against how far reals are; also in the input of D's last layer.
            of_real, of_fake = distances(real), distances(fake)
            add("diversity", of_fake.mean() / (of_real.mean() + TINY))
            add("duplicates", duplicates(of_real, of_fake))
            if self._layers is not None and (features := self._layers.features()) is not None:
                of_real, of_fake = (distances(x) for x in features)
                add("diversity/features", of_fake.mean() / (of_real.mean() + TINY))
        if self._probe.lipschitz or self._probe.held_out:
            self._look_at(self._probe, D, (real, fake), labels)

    def _look_at(self, probe: Probe, D: nn.Module, drawn: Pair, labels: "tuple[Tensor | None, Tensor | None]") -> None:
        """Slopes between reals and fakes, and reals that D never saw; in eval mode, which changes no statistics."""
        modes = [(module, module.training) for module in D.modules()]
        D.eval()
        try:
            (real, fake), (of_real, of_fake) = drawn, labels
            if probe.lipschitz:
                self.reading.add("slope", slope_between(D, real, fake, of_real))
            if probe.held_out is not None:
                with torch.no_grad():
                    rejected = D(fake, of_fake).float()
                    self.reading.add("auc/seen", auc(D(real, of_real).float(), rejected))
                    self.reading.add("auc/held-out", auc(D(*probe.held_out).float(), rejected))
        finally:
            for module, training in modes:
                module.training = training

    def backward(self) -> AbstractContextManager[object]:
        """Around the phase's own backward."""
        return nullcontext()

    @property
    def edges(self) -> list[GradientEdge]:
        """Where the backward is to tell the gradient that passes by: that of the layers, of the scores, of the
        fakes."""
        return [*(self._layers.edges if self._layers else ()), *self._scores, *self._fakes]

    def summed(self, loss: Tensor, penalties: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> None:
        """Before the backward: the penalties' own gradient. The loss's is the rest, as gradients add up."""
        differentiable = [penalty for penalty in penalties.values() if penalty.requires_grad]
        if not (self._weigh and differentiable):
            return
        gradients = torch.autograd.grad(differentiable, parameters, retain_graph=True, allow_unused=True)
        self._of_penalty = [None if g is None else g.detach() for g in gradients]

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        """Taps of one kind measure the same."""
        return self._whole, self._weigh, self._rare

    @property
    def held_out(self) -> "tuple[Tensor | None, ...]":
        """Reals that D never trains on, and their labels, where these taps look at them."""
        return (self._probe.held_out or ()) if self._probe is not None and self._whole else ()

    def like(self, held_out: "tuple[Tensor | None, ...]") -> "PhaseProbe":
        """Taps of the same kind that measure for nobody else, with other tensors for the reals held out."""
        if self._probe is None:
            return self
        return PhaseProbe(self._probe.apart(held_out), self._role, self._whole, self._weigh, self._rare)

    def give(self, reading: Reading, *, averaged: bool = True) -> None:
        """Go on from here with what taps of the same kind have measured; `averaged`: also there."""
        self.reading.parts += reading.parts
        self._averaged = averaged

    def gradients(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], passed: Sequence[Tensor | None]
    ) -> None:
        """After the backward, before the all-reduce.

        Args:
            gradients: of the parameters.
            passed: what has passed by at the `edges`.
        """
        if self._whole and self._layers is not None:
            left = iter(passed)
            self._layers.heard([next(left) for _ in self._layers.edges])
            at_scores, at_fakes = ([next(left) for _ in edges] for edges in (self._scores, self._fakes))
            scores, fakes = ([x for x in some if x is not None] for some in (at_scores, at_fakes))
            self._attribute(scores, fakes)
            self._follow(self._layers, fakes if self._role == "generator" else scores)
        if self._rare:
            for place, weight in _weights(parameters).items():
                self.reading.add(place, weight.std(), kind="weight", role=self._role)
        if self._of_penalty:
            self._compare(self._of_penalty, gradients)

    def averaged(self, gradients: Sequence[Tensor | None]) -> None:
        """After the all-reduce, before clipping: the norm of what is left of the gradient."""
        if self._whole and not self._averaged:
            norms = torch._foreach_norm([gradient for gradient in gradients if gradient is not None])
            self.reading.add(f"gradient/{self._role}", torch.linalg.vector_norm(torch.stack(norms)))

    def _compare(self, of_penalty: Sequence[Tensor | None], gradients: Sequence[Tensor | None]) -> None:
        """The penalties' gradient with the loss's."""
        pairs = [(whole, part) for whole, part in zip(gradients, of_penalty, strict=True) if whole is not None]
        of_loss = get_total_norm([whole if part is None else whole - part for whole, part in pairs])
        penalty = get_total_norm([part for part in of_penalty if part is not None])
        self.reading.add(f"penalty/{self._role}", penalty / (of_loss + TINY))

    def _attribute(self, at_scores: Sequence[Tensor], at_fakes: Sequence[Tensor]) -> None:
        """The slope of the loss, and of D."""
        if not at_scores:
            return
        n = sum(map(len, at_scores))
        for at_score, total in zip(at_scores, torch._foreach_norm(list(at_scores), 1), strict=True):
            name = "A" if self._role == "generator" else "discriminator/A"
            self.reading.add(name, total, len(at_score) / n)  # of N times the gradient, the mean
        if self._role == "discriminator":
            return
        if self._slopes is not None:
            self.reading.add("B", self._slopes.mean())
        elif at_fakes and self._probe is not None and not self._probe.mixes_samples:
            of_each = torch.linalg.vector_norm(at_fakes[0].flatten(1), dim=1)
            self.reading.add("B", slope_at(of_each, at_scores[0]))

    def _follow(self, layers: Layers, at_output: Sequence[Tensor]) -> None:
        """The signal at every layer, and whether one came to the network's output."""
        if not layers.names:
            return
        for name, norm in layers.norms():
            self.reading.add(name, norm, layers.scale(name), kind="gradient", role=self._role)
        if self._rare:
            for name in layers.names:
                self.reading.add_channels(name, layers.moved(name).reshape(-1), self._role)
            for norm in torch._foreach_norm(list(at_output), 1) if at_output else ():
                self.reading.add("", norm, kind="arrived", role=self._role)

    def before_update(self, parameters: Sequence[Tensor]) -> None:
        if self._rare:
            self._before = [weight.clone() for weight in _weights(parameters).values()]

    def after_update(self, parameters: Sequence[Tensor]) -> None:
        """How far the optimizer went."""
        if self._before:
            now = _weights(parameters)
            for place, step in zip(now, torch._foreach_sub(list(now.values()), self._before), strict=True):
                self.reading.add(place, step.std(), kind="step", role=self._role)


def _weights(parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Those whose steps say something, by their places."""
    return {str(i): p.detach() for i, p in enumerate(parameters) if p.dim() > 1 and p.numel() > 1}


NOTHING = PhaseProbe(None, "generator", whole=False, weigh=False)
"""The taps of a phase that is not probed."""
