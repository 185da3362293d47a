"""The R2 penalty (Mescheder et al. 2018, arXiv:1801.04406, equation 10)."""

from typing import Literal

from torch import Tensor

from gancore import Context, Phase, component, ge, option
from gancore_penalties.slope import slope


@component
class R2:
    """The R2 penalty (Mescheder et al. 2018, arXiv:1801.04406, equation 10).

        gamma / 2  E ||grad D(G(z))||^2   at fakes

    `r1` on the other side; R3GAN uses both (Huang et al. 2024, arXiv:2501.05441).
    """

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    gamma: float = option(10.0, "gamma: weight, as r1's.", ge(0))
    every: int = option(1, "Run on every k-th phase only, times k (lazy regularization).", ge(1))

    def penalty(self, phase: Phase, context: Context) -> Tensor:
        gradient = slope(phase.discriminator, phase.fake, phase.fake_labels)
        return 0.5 * self.gamma * gradient.square().sum(1).mean()
