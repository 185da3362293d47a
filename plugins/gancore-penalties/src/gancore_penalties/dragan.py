"""The DRAGAN penalty (Kodali et al. 2017, arXiv:1705.07215)."""

from typing import Literal

import torch
from torch import Tensor

from gancore import Context, Phase, component, ge, option
from gancore_penalties.slope import norm, slope


@component
class Dragan:
    """The DRAGAN penalty (Kodali et al. 2017, arXiv:1705.07215).

        w E (||grad D(x + d)|| - 1)^2,   d = c std(x) u,  u ~ U(0, 1) per element

    Variants differ. The paper writes normal noise; its authors' code draws this one: one-sided and uniform,
    scaled by one (population) standard deviation over the whole batch. Their code then penalises a random
    point between x and x + d; here it is x + d itself, as in the paper's formula.
    """

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    weight: float = option(10.0, "w: weight of the penalty, dimensionless.", ge(0))
    spread: float = option(0.5, "c: size of the noise in standard deviations of the batch.", ge(0))
    every: int = option(1, "Run on every k-th phase only, times k.", ge(1))

    def penalty(self, phase: Phase, context: Context) -> Tensor:
        assert phase.real is not None, "D's phase always has reals"
        x = phase.real.detach()
        u = torch.rand(x.shape, generator=context.rng, device=x.device, dtype=x.dtype)
        around = x + self.spread * x.std(correction=0) * u
        return self.weight * (norm(slope(phase.discriminator, around, phase.real_labels)) - 1).square().mean()
