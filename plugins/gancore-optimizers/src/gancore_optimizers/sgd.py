"""Stochastic gradient descent (Robbins & Monro 1951) with momentum (Sutskever et al. 2013)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Parameter

from gancore import component, ge, gt, lt, option
from gancore_optimizers.fused import fused
from gancore_optimizers.schedule import Scheduled


def _needs_momentum(instance: "Sgd", attribute: Any, value: bool) -> None:
    if value and not instance.momentum:
        raise ValueError(f"{attribute.name} needs momentum above 0, e.g. momentum = 0.9")


@component
class Sgd(Scheduled):
    """Stochastic gradient descent (Robbins & Monro 1951) with momentum (Sutskever et al. 2013, section 2).

        v <- m v + g + w x
        x <- x - lr v                     with nesterov:  x <- x - lr (g + w x + m v)

    torch's form: lr multiplies the sum of gradients, so that momentum m lengthens steps by up to 1 / (1 - m).
    """

    lr: float = option(0.01, "Learning rate.", gt(0))
    momentum: float = option(0.0, "m: share of the last step's direction that is kept.", ge(0), lt(1))
    nesterov: bool = option(False, "Nesterov's momentum.", _needs_momentum)
    weight_decay: float = option(0.0, "w: share of the weights that is added to the gradient.", ge(0))

    def build(self, parameters: Iterable[Parameter], lazy: float) -> torch.optim.Optimizer:
        several = list(parameters)
        return torch.optim.SGD(
            several,
            lr=self.lr * lazy,
            momentum=self.momentum**lazy,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=fused(several),
        )
