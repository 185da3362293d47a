"""The taps of one phase: they measure where the gradient is and where it dies, on the device.

Gradients pass by the scores, the fakes and every layer's output anyway. What the chain rule makes of them is the
three-factor attribution of `gancore.contracts.Vitals`:

    ||dL_G / dtheta_G|| = A . B . C      slope of the loss, slope of D, and G's own back-propagation

Only two things need a backward of their own, on probed steps and through D alone: where D mixes samples, and where
the loss wants a D of bounded slope.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

import attrs
import torch
from attrs import field, frozen
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.utils import get_total_norm

from gancore.contracts import Role
from gancore.health.layers import Layers, weight_layers
from gancore.health.measures import auc, distances, duplicates, slope_at, slope_between, slopes, spreads
from gancore.health.reading import Reading

TINY = 1e-30  # keeps quotients of float32 finite

Pair = tuple[Tensor, Tensor]
"""Of reals and of fakes."""

Spreads = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
"""Of weights after and before an update, as `gancore.health.measures.spreads` takes them."""


@frozen(eq=False)
class Aims:
    """What there is to measure in a game.

    Attributes:
        mixes_samples: whether D says so: then ds_i/dx_i is measured by a backward of its own.
        lipschitz: whether the loss wants D's slope between reals and fakes.
        held_out: reals that D never trains on, with their labels; None for none.
        spreads: computes `gancore.health.measures.spreads`.
    """

    mixes_samples: bool = False
    lipschitz: bool = False
    held_out: "tuple[Tensor, Tensor | None] | None" = None
    spreads: Spreads = spreads
    _layers: "WeakKeyDictionary[nn.Module, Mapping[str, nn.Module]]" = field(factory=WeakKeyDictionary)

    def layers_of(self, network: nn.Module) -> Mapping[str, nn.Module]:
        """Those with weights, looked for once."""
        if network not in self._layers:
            self._layers[network] = weight_layers(network)
        return self._layers[network]


class PhaseProbe:
    """The taps of one phase, in the order in which the phase meets them.

    Up to the update they only collect and reduce tensors, without looking at one, so that a phase can be traced with
    their taps: what they measure on the way is in `reading`, and `give` puts it into that of other taps.

    Attributes:
        traceable: whether that is so.
        reading: what was measured up to now.
    """

    traceable: ClassVar[bool] = True

    def __init__(self, aims: Aims, role: Role, *, whole: bool, weigh: bool, rare: bool = False) -> None:
        self._aims, self._role, self._whole, self._weigh, self._rare = aims, role, whole, weigh, whole and rare
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
        if not self._whole:
            return nullcontext()
        if self._layers is None:
            self._layers = Layers(self._aims.layers_of(network), channels=self._rare)
        return self._layers.attached(samples)

    def passing(self, network: nn.Module) -> AbstractContextManager[object]:
        """Around the other forward passes."""
        return nullcontext()

    def given(self, real: Tensor) -> None:
        """The reals, as they come."""

    def scored(self, score: Tensor, fake: Tensor | None = None) -> None:
        """D's scores, and in G's phase the fakes that they are of."""
        if not self._whole:
            return
        if score.requires_grad:
            self._scores.append(get_gradient_edge(score))
        if fake is not None:
            if self._aims.mixes_samples and self._rare:
                self._slopes = slopes(score, fake)
            if fake.requires_grad:
                self._fakes.append(get_gradient_edge(fake))

    def compared(self, D: nn.Module, drawn: Pair, scores: Pair, labels: "tuple[Tensor | None, Tensor | None]") -> None:
        """Reals and fakes side by side, before augmentation, with their scores: balance and diversity."""
        if not self._rare:
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
        if self._aims.lipschitz or self._aims.held_out is not None:
            self._look_at(D, (real, fake), labels)

    def _look_at(self, D: nn.Module, drawn: Pair, labels: "tuple[Tensor | None, Tensor | None]") -> None:
        """Slopes between reals and fakes, and reals that D never saw; in eval mode, which changes no statistics."""
        modes = [(module, module.training) for module in D.modules()]
        D.eval()
        try:
            (real, fake), (of_real, of_fake) = drawn, labels
            if self._aims.lipschitz:
                self.reading.add("slope", slope_between(D, real, fake, of_real))
            if self._aims.held_out is not None:
                with torch.no_grad():
                    rejected = D(fake, of_fake).float()
                    self.reading.add("auc/seen", auc(D(real, of_real).float(), rejected))
                    self.reading.add("auc/held-out", auc(D(*self._aims.held_out).float(), rejected))
        finally:
            for module, training in modes:
                module.training = training

    def backward(self) -> AbstractContextManager[object]:
        """Around the phase's own backward: for those who want to know how long it takes."""
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
        return (self._aims.held_out or ()) if self._whole else ()

    def like(self, held_out: "tuple[Tensor | None, ...]") -> "PhaseProbe":
        """Taps of the same kind that measure for nobody else, with other tensors for the reals held out."""
        if self is NOTHING:
            return self
        aims = attrs.evolve(self._aims, held_out=cast(Any, held_out or None))
        return PhaseProbe(aims, self._role, whole=self._whole, weigh=self._weigh, rare=self._rare)

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
            self._layers, self._scores, self._fakes = None, [], []  # nor is the graph to stay until the update
        if self._rare and (weights := _weights(parameters)):
            found = torch.stack([weight.std() for weight in weights.values()])
            self.reading.add_all(weights, found, "weight", self._role)
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
        elif at_fakes and not self._aims.mixes_samples:
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
            self.reading.add_all(now, self._aims.spreads([*now.values()], self._before), "step", self._role)


def _weights(parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Those whose steps say something, by their places."""
    return {str(i): p.detach() for i, p in enumerate(parameters) if p.dim() > 1 and p.numel() > 1}


NOTHING = PhaseProbe(Aims(), "generator", whole=False, weigh=False)
"""The taps of a phase that is not probed."""
