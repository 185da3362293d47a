"""Adam (Kingma & Ba 2014, arXiv:1412.6980)."""

from collections.abc import Iterable

import torch
from torch.nn import Parameter

from gancore import component, ge, gt, lt, option
from gancore_optimizers.fused import fused
from gancore_optimizers.fused_adam import FusedAdam
from gancore_optimizers.schedule import Scheduled


@component
class Adam(Scheduled):
    """Adam (Kingma & Ba 2014, arXiv:1412.6980, algorithm 1).

        m <- b1 m + (1 - b1) g
        v <- b2 v + (1 - b2) g^2
        x <- x - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

    The defaults are DCGAN's (Radford et al. 2015, arXiv:1511.06434, section 4), with a b1 below Adam's 0.9 as
    the other player keeps turning the gradient. WGAN-GP uses lr 1e-4 and betas 0 and 0.9.
    """

    lr: float = option(2e-4, "Learning rate.", gt(0))
    beta1: float = option(0.5, "b1: decay rate of the mean gradient.", ge(0), lt(1))
    beta2: float = option(0.999, "b2: decay rate of the mean squared gradient.", ge(0), lt(1))
    eps: float = option(1e-8, "Added to the root of the mean square, in units of the gradient.", gt(0))

    def build(self, parameters: Iterable[Parameter], lazy: float) -> torch.optim.Optimizer:
        betas, several = (self.beta1**lazy, self.beta2**lazy), list(parameters)
        return FusedAdam(several, lr=self.lr * lazy, betas=betas, eps=self.eps, fused=fused(several))
