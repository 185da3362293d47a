"""The Wasserstein loss (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1)."""

from typing import ClassVar, Literal

from torch import Tensor

from gancore import component


@component
class Wasserstein:
    """The Wasserstein loss (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1).

        D minimises  E D(G(z)) - E D(x)
        G minimises  -E D(G(z))

    Meaningful only while D is kept Lipschitz: by `weight-clipping` (the paper: c = 0.01, RMSprop at 5e-5,
    n_critic 5), by the `wgan-gp` penalty or by `spectral-norm`.
    """

    needs_real: ClassVar[bool] = False
    boundary: ClassVar[Literal["zero", "none"]] = "none"
    lipschitz: ClassVar[bool] = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake.mean()
