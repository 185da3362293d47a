"""The relativistic pairing loss RpGAN (Jolicoeur-Martineau 2018, arXiv:1807.00734, section 4)."""

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import softplus

from gancore import component


@component
class Relativistic:
    """The relativistic pairing loss RpGAN (Jolicoeur-Martineau 2018, arXiv:1807.00734, section 4).

    Also R3GAN's loss (Huang et al. 2024, arXiv:2501.05441, equation 2).

    With s = softplus, pairing the i-th real with the i-th fake (both independent draws):

        D minimises  E s(-(D(x) - D(G(z))))
        G minimises  E s(-(D(G(z)) - D(x)))

    Only differences matter, so single scores have no boundary. R3GAN trains it with `r1` and `r2` together;
    without either it need not converge.
    """

    needs_real: ClassVar[bool] = True
    boundary: ClassVar[Literal["zero", "none"]] = "none"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        assert real is not None, "needs_real is declared, so the engine provides real scores"
        return softplus(real - fake).mean()
