"""The hinge loss (Lim & Ye 2017, arXiv:1705.02894)."""

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import relu

from gancore import component


@component
class Hinge:
    """The hinge loss (Lim & Ye 2017, arXiv:1705.02894).

    As Miyato et al. 2018, arXiv:1802.05957, write it in equations 16 and 17:

        D minimises  E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))
        G minimises  -E D(G(z))

    D's gradient is exactly zero for samples outside the margin; that is the design, not a vanishing gradient.
    """

    needs_real: ClassVar[bool] = False
    boundary: ClassVar[Literal["zero", "none"]] = "zero"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake.mean()
