"""The probe: measures one step where the gradient is and where it dies, on the device and without an extra backward.

It taps the ordinary phases: gradients pass by the scores, the fakes and every layer's output anyway. What the chain
rule makes of them is the three-factor attribution of `gancore.contracts.Vitals`:

    ||dL_G / dtheta_G|| = A . B . C      slope of the loss, slope of D, and G's own back-propagation

Only two things need a backward of their own, on probed steps and through D alone: where D mixes samples, and where
the loss wants a D of bounded slope.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from gancore.contracts import ROLES, Role, Vitals
from gancore.health.layers import Layers, weight_layers
from gancore.health.measures import auc, distances, duplicates, slope_at, slope_between, slopes

WINDOW = 5  # looks in which a unit must not have moved at all to be called dead
RARE = (
    "B", "C", "auc", "gap", "slope", "penalty/discriminator", "penalty/generator", "auc/seen", "auc/held-out",
    "diversity", "duplicates", "diversity/features", "update/discriminator", "update/generator",
)  # fmt: skip
WEIGHED = 50  # steps between two measurements, at least, of the penalties' own gradient: a double backward more
RARELY = 10  # steps between two measurements, at least, of what costs more than a look: RARE
TINY = 1e-30  # keeps quotients of float32 finite

Pair = tuple[Tensor, Tensor]
"""Of reals and of fakes."""

Label = tuple[str, str, str, float]
"""Of a measured value: number, gradient or dead; the network's role, if it is of a layer; name; a factor."""


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
        self.mixes_samples, self._lipschitz, self.held_out = mixes_samples, lipschitz, held_out
        self._numbers: dict[str, Tensor] = {}
        self._kept: dict[str, float] = {}  # of what is not measured in every probe
        self._layers: dict[Role, Layers] = {}
        self._arrived: dict[Role, Tensor] = {}  # whether any gradient came to the network's output
        self._dead: dict[Role, dict[str, float]] = {}  # the shares that were last measured
        self._networks: dict[Role, nn.Module] = {}
        self._weights: dict[Role, Mapping[str, nn.Module]] = {}
        self._closed: list[dict[str, Any]] = []  # probes that were not fetched yet
        self._idle: dict[Role, Tensor] = {}  # by channel: probes in a row without any signal

    def phase(self, role: Role, *, whole: bool, weigh: bool = False, rare: bool = True) -> "PhaseProbe":
        """The taps of one phase: `whole` measures all of it, `weigh` its penalties against its loss, `rare` also what
        costs more than a look."""
        return PhaseProbe(self, role, whole, weigh, rare) if whole or weigh else NOTHING

    def apart(self, held_out: "tuple[Tensor | None, ...]") -> "Probe":
        """A probe that measures the same, of other reals that are held out, and has measured nothing yet."""
        given = (held_out[0], held_out[1]) if held_out else None
        return Probe(mixes_samples=self.mixes_samples, lipschitz=self._lipschitz, held_out=cast(Any, given))

    def close(self, step: int) -> None:
        """What was collected since the last time is of this step. Does not wait for the device: `fetched` does."""
        found: list[tuple[Label, Tensor]] = [(("number", "", name, 1.0), x) for name, x in self._numbers.items()]
        for role, layers in self._layers.items():
            found += [(("gradient", role, name, layers.scale(name)), layers.norm(name)) for name in layers.names]
            if layers.channels:
                shares = zip(layers.names, self._shares_of_dead(role, layers), strict=True)
                found += [(("dead", role, name, 1.0), share) for name, share in shares]
        # Numbers of a kind are converted together: half of the cost of a probe is the number of operations.
        found.sort(key=lambda item: item[1].dtype == torch.float64)
        if found:
            wide = [value for _, value in found if value.dtype == torch.float64]
            narrow = [value for _, value in found[: len(found) - len(wide)]]
            here = found[-1][1].device  # what a checkpoint has brought along may be elsewhere
            parts = [torch.stack([x.to(here) for x in some]).double() for some in (narrow, wide) if some]
            self._closed.append({"step": step, "labels": [label for label, _ in found], "values": torch.cat(parts)})
        self._numbers, self._layers, self._arrived = {}, {}, {}

    def fetched(self) -> list[Vitals]:
        """What was measured since the last time, step by step. Waits for the device, once for all of them."""
        closed, self._closed = self._closed, []
        if not closed:
            return []
        here = closed[-1]["values"].device
        values = iter(torch.cat([entry["values"].to(here) for entry in closed]).tolist())
        return [self._vitals(entry, values) for entry in closed]

    def fetch(self, step: int) -> Vitals:
        """What was measured last, with what was collected since as that of `step`."""
        self.close(step)
        return [Vitals(step, self._kept, {}), *self.fetched()][-1]

    def _vitals(self, entry: Mapping[str, Any], values: Iterator[float]) -> Vitals:
        found: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in ("number", "gradient", "dead")}
        for kind, role, name, scale in entry["labels"]:
            found[kind].setdefault(role, {})[name] = next(values) * scale
        numbers, gradients = found["number"].get("", {}), found["gradient"]
        for role, signals in gradients.items():
            first, *_, last = (*signals.values(), *signals.values())
            numbers[f"rho/{role}"] = first / max(last, TINY)
        if {"A", "B", "gradient/generator"} <= numbers.keys():
            numbers["C"] = numbers["gradient/generator"] / max(numbers["A"] * numbers["B"], TINY)
        self._kept |= {name: value for name, value in numbers.items() if name in RARE}
        self._dead |= cast(dict[Role, dict[str, float]], found["dead"])
        layers: dict[Role, dict[str, dict[str, float]]] = {
            role: {
                name: {"gradient": signal, "dead": self._dead.get(role, {}).get(name, 0.0)}
                for name, signal in gradients.get(role, {}).items()
            }
            for role in ROLES
            if role in gradients
        }
        return Vitals(entry["step"], {**self._kept, **numbers}, layers)

    def _shares_of_dead(self, role: Role, layers: Layers) -> list[Tensor]:
        """For every layer, the share of channels without any signal in the last WINDOW probes in which one arrived at
        the network's output: where nothing is to be heard, its units are not to blame for hearing nothing."""
        counts = [layers.moved(name).reshape(-1) for name in layers.names]
        if not counts:
            return []
        moved = torch.cat(counts) != 0
        idle = self._idle.get(role)
        if idle is None or idle.shape != moved.shape:
            idle = torch.zeros_like(moved, dtype=torch.int32)
        idle = torch.where(moved, 0, idle.to(moved.device) + self._arrived.get(role, 1))
        self._idle[role] = idle
        return [part.mean() for part in torch.split((idle >= WINDOW).float(), [len(count) for count in counts])]

    def state_dict(self) -> dict[str, Any]:
        return {
            "idle": dict(self._idle),
            "dead": self._dead,
            "kept": self._kept,
            "collected": dict(self._numbers),
            "closed": list(self._closed),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._idle, self._kept, self._dead = dict(state["idle"]), dict(state["kept"]), dict(state["dead"])
        self._numbers, self._closed = dict(state["collected"]), list(state["closed"])

    def weight_layers(self, role: Role, network: nn.Module) -> Mapping[str, nn.Module]:
        """Those of a player's network, looked for once."""
        if self._networks.get(role) is not network:
            self._networks[role], self._weights[role] = network, weight_layers(network)
        return self._weights[role]

    @property
    def numbers(self) -> Mapping[str, Tensor]:
        """What was collected since the last probe was closed."""
        return self._numbers

    def add(self, name: str, value: Tensor) -> None:
        self._numbers[name] = value.detach()

    def copy_from(self, other: "Probe", role: Role) -> None:
        """What another probe has collected in one phase."""
        for name, value in other.numbers.items():
            self.add(name, value.clone())
        if role in other._layers:
            self._layers[role] = other._layers[role].copied()
        if role in other._arrived:
            self._arrived[role] = other._arrived[role].clone()

    def add_layers(self, role: Role, layers: Layers, arrived: Tensor | None) -> None:
        """The signal at each of a network's layers, and whether any came to its output."""
        self._layers[role] = layers
        if arrived is not None:
            self._arrived[role] = arrived

    def arrived(self, role: Role) -> Tensor | None:
        """Whether any gradient came to the network's output, where that was looked at."""
        return self._arrived.get(role)

    # ------------------------------------------------------------------------------- what needs D once more

    @torch.no_grad()
    def compare(self, real: Tensor, fake: Tensor, features: "tuple[Tensor, Tensor] | None") -> None:
        """How far fakes are from each other, against how far reals are; also in the input of D's last layer."""
        of_real, of_fake = distances(real), distances(fake)
        self.add("diversity", of_fake.mean() / (of_real.mean() + TINY))
        self.add("duplicates", duplicates(of_real, of_fake))
        if features is not None:
            of_real, of_fake = (distances(x) for x in features)
            self.add("diversity/features", of_fake.mean() / (of_real.mean() + TINY))

    def look_at(self, D: nn.Module, drawn: Pair, labels: "tuple[Tensor | None, Tensor | None]") -> None:
        """Slopes between reals and fakes, and reals that D never saw; in eval mode, which changes no statistics."""
        if not (self._lipschitz or self.held_out):
            return
        modes = [(module, module.training) for module in D.modules()]
        D.eval()
        try:
            (real, fake), (of_real, of_fake) = drawn, labels
            if self._lipschitz:
                self.add("slope", slope_between(D, real, fake, of_real))
            if self.held_out is not None:
                with torch.no_grad():
                    rejected = D(fake, of_fake).float()
                    self.add("auc/seen", auc(D(real, of_real).float(), rejected))
                    self.add("auc/held-out", auc(D(*self.held_out).float(), rejected))
        finally:
            for module, training in modes:
                module.training = training


class PhaseProbe:
    """The taps of one phase, in the order in which the phase meets them.

    Up to the update they only collect and reduce tensors, without looking at one, so that a phase can be traced with
    its taps; `taken` is what they collected, and `give` hands it to the taps of another phase like it.

    Attributes:
        traceable: whether that is so.
    """

    traceable: ClassVar[bool] = True

    def __init__(self, probe: Probe | None, role: Role, whole: bool, weigh: bool, rare: bool = False) -> None:
        self._probe, self._role, self._rare = (probe if whole else None), role, rare
        self._scales = probe if weigh else None
        self._of_penalty: list[Tensor | None] | None = None
        self._layers: Layers | None = None
        self._at_scores: list[Tensor] = []
        self._at_fakes: Tensor | None = None
        self._listening = False
        self._mixes = False
        self._slopes: Tensor | None = None
        self._before: list[Tensor] = []
        self._measured = False  # the gradients

    def watching(self, network: nn.Module, samples: int | None = None) -> AbstractContextManager[object]:
        """Around the forward passes whose back-propagated signal is to be measured, layer by layer. `samples` is N."""
        if self._probe is None:
            return nullcontext()
        self._layers = self._layers or self._layers_of(self._probe, network)
        return self._layers.attached(samples)

    def _layers_of(self, probe: Probe, network: nn.Module) -> Layers:
        layers = probe.weight_layers(self._role, network)
        return Layers(network, lambda: self._listening, channels=self._rare, layers=layers)

    def passing(self, network: nn.Module) -> AbstractContextManager[object]:
        """Around the other forward passes."""
        return nullcontext()

    def given(self, real: Tensor) -> None:
        """The reals, as they come."""

    def scored(self, score: Tensor, fake: Tensor | None = None) -> None:
        """D's scores, and in G's phase the fakes that they are of."""
        if self._probe is None:
            return
        if score.requires_grad:
            score.register_hook(self._keep_score)  # type: ignore[no-untyped-call]
        if fake is not None:
            self._mixes = self._probe.mixes_samples
            if self._mixes and self._rare:
                self._slopes = slopes(score, fake)
            fake.register_hook(self._keep_fake)  # type: ignore[no-untyped-call]

    def compared(self, D: nn.Module, drawn: Pair, scores: Pair, labels: "tuple[Tensor | None, Tensor | None]") -> None:
        """Reals and fakes side by side, before augmentation, with their scores: balance and diversity."""
        if self._probe is None or not self._rare:
            return
        with torch.no_grad():
            real_score, fake_score = scores[0].detach(), scores[1].detach()
            self._probe.add("auc", auc(real_score, fake_score))
            self._probe.add("gap", real_score.mean() - fake_score.mean())
        real, fake = drawn[0].detach(), drawn[1].detach()
        self._probe.compare(real, fake, self._layers.features() if self._layers else None)
        self._probe.look_at(D, (real, fake), labels)

    def backward(self) -> Any:
        """Around the phase's own backward: gradients that penalties take for themselves are none of ours."""
        return nullcontext() if self._probe is None else self._hearing()

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        self._listening = True
        try:
            yield
        finally:
            self._listening = False

    def summed(self, loss: Tensor, penalties: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> None:
        """Before the backward: the penalties' own gradient. The loss's is the rest, as gradients add up."""
        differentiable = [penalty for penalty in penalties.values() if penalty.requires_grad]
        if self._scales is None or not differentiable:
            return
        gradients = torch.autograd.grad(differentiable, parameters, retain_graph=True, allow_unused=True)
        self._of_penalty = [None if g is None else g.detach() for g in gradients]

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        """Taps of one kind collect the same."""
        return self._probe is not None, self._scales is not None, self._rare and self._probe is not None

    @property
    def held_out(self) -> "tuple[Tensor | None, ...]":
        """Reals that D never trains on, and their labels, where these taps look at them."""
        return (self._probe.held_out or ()) if self._probe is not None else ()

    def like(self, held_out: "tuple[Tensor | None, ...]") -> "PhaseProbe":
        """Taps of the same kind that collect for nobody else, with other tensors for the reals held out."""
        if self._probe is None and self._scales is None:
            return NOTHING
        probe = self._probe or self._scales
        assert probe is not None
        return probe.apart(held_out).phase(
            self._role, whole=self._probe is not None, weigh=self._scales is not None, rare=self._rare
        )

    def taken(self) -> dict[str, Any]:
        """What was collected up to here: a tree of tensors and plain values."""
        probe = self._probe or self._scales
        needed = not self._measured
        return {
            "numbers": dict(probe.numbers) if probe else {},
            "scores": self._at_scores if needed else [],
            "fakes": self._at_fakes if needed else None,
            "mixes": self._mixes,
            "slopes": self._slopes if needed else None,
            "penalty": self._of_penalty if needed else None,
            "layers": self._layers.taken() if self._layers else None,
            "arrived": probe.arrived(self._role) if probe else None,
            "measured": self._measured,
        }

    def give(self, taken: Mapping[str, Any], network: nn.Module) -> None:
        """Go on from here with what taps of the same kind have collected at this network."""
        probe = self._probe or self._scales
        if probe is not None:
            for name, value in taken["numbers"].items():
                probe.add(name, value)
        if self._probe is not None and taken["layers"] is not None:
            self._layers = self._layers_of(self._probe, network)
            self._layers.give(taken["layers"])
            if taken["measured"]:
                self._probe.add_layers(self._role, self._layers, taken["arrived"])
        self._measured = taken["measured"]
        self._at_scores, self._at_fakes, self._mixes = list(taken["scores"]), taken["fakes"], taken["mixes"]
        self._slopes, self._of_penalty = taken["slopes"], taken["penalty"]

    def give_all(self, other: "PhaseProbe") -> None:
        """What a whole phase with taps of the same kind has measured, copied."""
        mine, theirs = self._probe or self._scales, other._probe or other._scales
        if mine is not None and theirs is not None:
            mine.copy_from(theirs, self._role)

    def gradients(self, parameters: Sequence[Tensor]) -> None:
        """After the backward and the all-reduce, before clipping."""
        if self._measured:
            return
        self._measured = True
        if self._scales is not None and self._of_penalty is not None:
            self._weigh(self._scales, self._of_penalty, parameters)
        if self._probe is None or self._layers is None:
            return
        norms = torch._foreach_norm([p.grad for p in parameters if p.grad is not None])
        self._probe.add(f"gradient/{self._role}", torch.linalg.vector_norm(torch.stack(norms)))
        self._attribute()
        at_fakes = [] if self._at_fakes is None else [self._at_fakes]
        at_output = at_fakes if self._role == "generator" else self._at_scores
        arrived = torch.stack([gradient.any() for gradient in at_output]).any() if at_output else None
        self._probe.add_layers(self._role, self._layers, arrived)

    def _weigh(self, probe: Probe, of_penalty: "list[Tensor | None]", parameters: Sequence[Tensor]) -> None:
        of_loss = [
            parameter.grad - gradient if gradient is not None else parameter.grad
            for parameter, gradient in zip(parameters, of_penalty, strict=True)
            if parameter.grad is not None
        ]
        penalty = get_total_norm([gradient for gradient in of_penalty if gradient is not None])
        probe.add(f"penalty/{self._role}", penalty / (get_total_norm(of_loss) + TINY))

    def _attribute(self) -> None:
        assert self._probe is not None
        if not self._at_scores:
            return
        a = torch.cat([gradient * len(gradient) for gradient in self._at_scores]).abs()
        A = a.mean()
        if self._role == "discriminator":
            self._probe.add("discriminator/A", A)
            return
        self._probe.add("A", A)
        if self._at_fakes is None:
            return
        if self._slopes is None:
            if self._mixes:
                return  # measured rarely
            B = slope_at(torch.linalg.vector_norm(self._at_fakes.flatten(1), dim=1) * len(a), a)
        else:
            B = self._slopes.mean()
        self._probe.add("B", B)

    def before_update(self, parameters: Sequence[Tensor]) -> None:
        if self._probe is not None and self._layers is not None and self._rare:
            self._before = [p.detach().clone() for p in parameters if p.dim() > 1]

    def after_update(self, parameters: Sequence[Tensor]) -> None:
        """How far the optimizer went, as a share of the weights."""
        if self._probe is None or not self._before:
            return
        now = [p.detach() for p in parameters if p.dim() > 1]
        steps = torch._foreach_sub(now, self._before)
        ratios = [
            step.std() / (old.std() + TINY) for step, old in zip(steps, self._before, strict=True) if old.numel() > 1
        ]
        if ratios:
            self._probe.add(f"update/{self._role}", torch.stack(ratios).median())

    def _keep_score(self, gradient: Tensor) -> None:
        if self._listening:
            self._at_scores.append(gradient.detach())

    def _keep_fake(self, gradient: Tensor) -> None:
        if self._listening:
            self._at_fakes = gradient.detach()


NOTHING = PhaseProbe(None, "generator", whole=False, weigh=False)
"""The taps of a phase that is not probed."""
