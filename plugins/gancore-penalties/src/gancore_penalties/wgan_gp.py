"""The gradient penalty of WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028, equation 3)."""

from typing import Literal

import torch
from torch import Tensor

from gancore import Context, Phase, component, ge, option
from gancore_penalties.slope import norm, slope


@component
class WganGp:
    """The gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028, equation 3).

        w E (||grad D(e x + (1 - e) G(z))|| - 1)^2,   e ~ U(0, 1), one per sample

    The points between a real and a fake are held fixed. Conditional discriminators are given the real's
    label. Use no batch norm in D: the penalty is per sample.
    """

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    weight: float = option(10.0, "w: weight of the penalty, dimensionless.", ge(0))
    every: int = option(1, "Run on every k-th phase only, times k. The paper runs it always.", ge(1))

    def penalty(self, phase: Phase, context: Context) -> Tensor:
        real, fake = phase.real, phase.fake
        assert real is not None, "D's phase always has reals"
        one_each = (len(real), *[1] * (real.dim() - 1))
        e = torch.rand(one_each, generator=context.rng, device=real.device, dtype=real.dtype)
        between = torch.lerp(fake.detach(), real.detach(), e)
        steepness = norm(slope(phase.discriminator, between, phase.real_labels))
        return self.weight * (steepness - 1).square().mean()
