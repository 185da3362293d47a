"""Weight clipping (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1)."""

from collections.abc import Sequence
from typing import Literal

from torch.nn import Parameter

from gancore import Context, component, gt, option
from gancore_clipping.clamp import clamp_finite_


@component
class WeightClipping:
    """Weight clipping (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1, line 7).

        w <- clamp(w, -c, c)   after every update of D, for all parameters: weights, biases, gains of a norm

    Keeps D Lipschitz for the `wasserstein` loss, at a price: signals shrink or grow by about c sqrt(width /
    2) per ReLU layer (Gulrajani et al. 2017, arXiv:1704.00028, figure 1b). The `wgan-gp` penalty is the
    remedy. Weights that are not finite are left as they are.
    """

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    limit: float = option(0.01, "c: the largest absolute value of a weight.", gt(0))

    def parameters_updated(self, parameters: Sequence[Parameter], context: Context) -> None:
        for p in parameters:
            clamp_finite_(p, self.limit)
