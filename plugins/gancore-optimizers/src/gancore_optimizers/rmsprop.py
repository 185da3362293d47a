"""RMSprop (Tieleman & Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning")."""

from collections.abc import Iterable

import torch
from torch.nn import Parameter

from gancore import component, ge, gt, lt, option
from gancore_optimizers.schedule import Scheduled


@component
class RmsProp(Scheduled):
    """RMSprop (Tieleman & Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning").

        v <- alpha v + (1 - alpha) g^2
        x <- x - lr g / (sqrt(v) + eps)

    v starts at 0 and is not corrected for it as Adam's is, so the first step is 1 / sqrt(1 - alpha) times lr
    long; `warmup` shortens it. The learning rate is that of WGAN with weight clipping (Arjovsky et al. 2017,
    arXiv:1701.07875, algorithm 1).
    """

    lr: float = option(5e-5, "Learning rate.", gt(0))
    alpha: float = option(0.99, "Decay rate of the mean squared gradient.", ge(0), lt(1))
    eps: float = option(1e-8, "Added to the root of the mean square, in units of the gradient.", gt(0))

    def build(self, parameters: Iterable[Parameter], lazy: float) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=self.lr * lazy, alpha=self.alpha**lazy, eps=self.eps)
