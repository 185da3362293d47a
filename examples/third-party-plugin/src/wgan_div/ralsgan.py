"""The relativistic average least-squares loss (Jolicoeur-Martineau 2018, arXiv:1807.00734)."""

from typing import ClassVar, Literal

from torch import Tensor

from gancore import component, gt, option


@component
class RaLsGan:
    """The relativistic average least-squares loss (Jolicoeur-Martineau 2018, arXiv:1807.00734, appendix D).

    With the margin m (1 in the paper):

        D minimises  E (D(x) - mean D(G(z)) - m)^2 + E (D(G(z)) - mean D(x) + m)^2
        G minimises  E (D(G(z)) - mean D(x) - m)^2 + E (D(x) - mean D(G(z)) + m)^2
    """

    margin: float = option(1.0, "How far above the other side's mean score D wants a sample, in units of score.", gt(0))

    needs_real: ClassVar[bool] = True
    boundary: ClassVar[Literal["zero", "none"]] = "none"
    mixes_samples: ClassVar[bool] = True  # the means are those of the whole batch

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        m = self.margin
        return (real - fake.mean() - m).square().mean() + (fake - real.mean() + m).square().mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        assert real is not None, "needs_real is declared, so the engine provides real scores"
        return self.discriminator(fake, real)
