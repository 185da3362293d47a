"""The minimax loss (Goodfellow et al. 2014, arXiv:1406.2661, equation 1), on logits."""

from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import softplus

from gancore import component


@component
class Minimax:
    """The original minimax game (Goodfellow et al. 2014, arXiv:1406.2661, equation 1).

    With s = softplus and scores D(x), D(G(z)):

        D minimises  E s(-D(x)) + E s(D(G(z)))
        G minimises  -E s(D(G(z)))

    G's term is E log(1 - sigmoid(D(G(z)))) without computing a sigmoid. G's gradient vanishes where D
    rejects fakes with confidence; `nonsaturating` is the remedy of the same paper.
    """

    needs_real: ClassVar[bool] = False
    boundary: ClassVar[Literal["zero", "none"]] = "zero"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -softplus(fake).mean()
