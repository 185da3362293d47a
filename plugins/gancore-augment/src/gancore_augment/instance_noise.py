"""Instance noise (Sønderby et al. 2017, arXiv:1610.04490; Arjovsky & Bottou 2017, arXiv:1701.04862)."""

from typing import Literal

import torch
from torch import Tensor

from gancore import Context, component, ge, gt, option


@component
class InstanceNoise:
    """Instance noise (Sønderby et al. 2017, arXiv:1610.04490; Arjovsky & Bottou 2017, arXiv:1701.04862).

        x <- x + sigma max(0, 1 - t / (until T)) n,   n ~ N(0, 1) per element, t of T steps finished

    on reals and fakes alike, so that their supports overlap and D cannot be perfect. For images and vectors.
    """

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    sigma: float = option(0.1, "Standard deviation at the first step, in units of the data.", ge(0))
    until: float = option(
        1.0, "Share of the run's steps after which the noise is gone, falling linearly; 1e9: it stays.", gt(0)
    )

    def discriminator_inputs(self, x: Tensor, context: Context) -> Tensor:
        left = (1 - context.step / (self.until * context.steps)).clamp(min=0)
        noise = torch.randn(x.shape, generator=context.rng, device=x.device, dtype=x.dtype)
        return x + (self.sigma * left).to(x.dtype) * noise
