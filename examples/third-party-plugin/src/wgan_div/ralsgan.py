"""The relativistic average least-squares loss (Jolicoeur-Martineau 2018, arXiv:1807.00734)."""

from typing import ClassVar, Literal

from torch import Tensor

from gancore import component


@component
class RaLsGan:
    """The relativistic average least-squares loss (Jolicoeur-Martineau 2018, arXiv:1807.00734, appendix D).

    D minimises  E (D(x) - mean D(G(z)) - 1)^2 + E (D(G(z)) - mean D(x) + 1)^2
    G minimises  E (D(G(z)) - mean D(x) - 1)^2 + E (D(x) - mean D(G(z)) + 1)^2
    """

    needs_real: ClassVar[bool] = True
    boundary: ClassVar[Literal["zero", "none"]] = "none"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return (real - fake.mean() - 1).square().mean() + (fake - real.mean() + 1).square().mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        assert real is not None, "needs_real is declared, so the engine provides real scores"
        return self.discriminator(fake, real)
