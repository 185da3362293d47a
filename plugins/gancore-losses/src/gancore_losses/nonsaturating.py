"""The non-saturating loss (Goodfellow et al. 2014, arXiv:1406.2661, section 3), on logits."""

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import softplus

from gancore import component


@component
class Nonsaturating:
    """The non-saturating loss (Goodfellow et al. 2014, arXiv:1406.2661, section 3).

    With s = softplus and scores D(x), D(G(z)):

        D minimises  E s(-D(x)) + E s(D(G(z)))
        G minimises  E s(-D(G(z)))

    G's term is -E log sigmoid(D(G(z))), written on logits: no epsilon, no overflow.
    """

    needs_real: ClassVar[bool] = False
    boundary: ClassVar[Literal["zero", "none"]] = "zero"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return softplus(-fake).mean()
