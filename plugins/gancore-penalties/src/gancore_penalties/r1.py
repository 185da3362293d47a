"""The R1 penalty (Mescheder et al. 2018, arXiv:1801.04406, equation 9)."""

from typing import Literal

from torch import Tensor

from gancore import Context, Phase, component, ge, option
from gancore_penalties.slope import slope


@component
class R1:
    """The R1 penalty (Mescheder et al. 2018, arXiv:1801.04406, equation 9).

        gamma / 2  E ||grad D(x)||^2   at reals x

    On raw scores; summed over pixels, averaged over the batch, with the paper's 1/2. `every = 16` is
    StyleGAN2's lazy regularization (Karras et al. 2020, arXiv:1912.04958, section 3.1).
    """

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    gamma: float = option(10.0, "gamma: weight; StyleGAN2-ADA's code uses 0.0002 * resolution^2 / batch.", ge(0))
    every: int = option(1, "Run on every k-th phase only, times k (lazy regularization).", ge(1))

    def penalty(self, phase: Phase, context: Context) -> Tensor:
        assert phase.real is not None, "D's phase always has reals"
        gradient = slope(phase.discriminator, phase.real, phase.real_labels)
        return 0.5 * self.gamma * gradient.square().sum(1).mean()
