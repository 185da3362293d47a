"""AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101)."""

from collections.abc import Iterable

import torch
from torch.nn import Parameter

from gancore import component, ge, option
from gancore_optimizers.adam import Adam
from gancore_optimizers.fused import fused
from gancore_optimizers.fused_adam import FusedAdam


@component
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv:1711.05101, algorithm 2).

        x <- x - lr w x, then Adam's step

    torch's form: the decay follows the learning rate and its schedule.
    """

    weight_decay: float = option(0.01, "w: share of the weights taken away per step, times the learning rate.", ge(0))

    def build(self, parameters: Iterable[Parameter], lazy: float) -> torch.optim.Optimizer:
        betas, several = (self.beta1**lazy, self.beta2**lazy), list(parameters)
        return FusedAdam(
            several,
            lr=self.lr * lazy,
            betas=betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=fused(several),
            decoupled_weight_decay=True,
        )
