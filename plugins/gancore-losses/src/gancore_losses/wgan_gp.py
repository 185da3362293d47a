"""The Wasserstein loss together with its gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028)."""

from gancore import Companion, component, ge, option
from gancore_losses.wasserstein import Wasserstein


@component
class WganGp(Wasserstein):
    """The Wasserstein loss with its gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028, equation 3).

    The same as `[loss] name = "wasserstein"` with `[[regularizer]] name = "wgan-gp"`; write that table as
    well to set what is no option here: it takes the companion's place, weight included. The paper trains
    with Adam at 1e-4, betas (0, 0.9), and n_critic = 5.
    """

    weight: float = option(10.0, "Weight of the gradient penalty, dimensionless.", ge(0))

    @property
    def companions(self) -> tuple[Companion, ...]:
        return (Companion("regularizer", "wgan-gp", {"weight": self.weight}),)
