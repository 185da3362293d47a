"""The penalty of WGAN-div (Wu et al. 2018, arXiv:1712.01026)."""

from typing import Literal

import torch
from torch import Tensor

from gancore import Context, Phase, component, ge, gt, option


@component
class WganDiv:
    """The penalty of the Wasserstein divergence (Wu et al. 2018, arXiv:1712.01026, equation 7).

        k E ||grad D(e x + (1 - e) G(z))||^p,   e ~ U(0, 1), one per sample

    Goes with the loss `wasserstein`; unlike `wgan-gp` it wants no slope of 1, only a small one.
    """

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    k: float = option(2.0, "k: weight of the penalty, dimensionless.", ge(0))
    p: float = option(6.0, "p: power of the slope, above 1.", gt(1))
    every: int = option(1, "Run on every k-th phase only, times k.", ge(1))

    def penalty(self, phase: Phase, context: Context) -> Tensor:
        assert phase.real is not None, "D's phase always has reals"
        real, fake = phase.real.detach(), phase.fake.detach()
        e = torch.rand(len(real), *[1] * (real.dim() - 1), generator=context.rng, device=real.device, dtype=real.dtype)
        between = (e * real + (1 - e) * fake).requires_grad_()
        score = phase.discriminator(between, phase.real_labels)
        (gradient,) = torch.autograd.grad(score.sum(), between, create_graph=True)
        # ||g||^p as (||g||^2)^(p/2): its derivative is finite where a gradient is zero.
        return self.k * gradient.flatten(1).square().sum(1).pow(self.p / 2).mean()
