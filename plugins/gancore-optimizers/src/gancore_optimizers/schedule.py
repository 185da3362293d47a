"""Learning-rate schedules, shared by the optimizers: linear warm-up, then constant, linear or cosine."""

from math import cos, pi
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from gancore import component, ge, le, option


@component
class Scheduled:
    """The options of the schedule. After t of T steps, with W = warmup and f = final, lr is multiplied by

        t < W     (t + 1) / W
        constant  1
        linear    1 - (1 - f) s                       s = (t - W) / (T - W), at most 1
        cosine    f + (1 - f) (1 + cos(pi s)) / 2     Loshchilov & Hutter 2016, arXiv:1608.03983, equation 5

    A closed form, so the only state is t: a resumed run that was given more steps follows the new plan.
    """

    lr_schedule: Literal["constant", "linear", "cosine"] = option(
        "constant", "Course of the learning rate after the warm-up."
    )
    warmup: int = option(0, "Steps in which the learning rate rises linearly to its full value.", ge(0))
    final: float = option(0.0, "Share of the learning rate that linear and cosine end at, 0 to 1.", ge(0), le(1))

    def factor(self, t: int, steps: int) -> float:
        """What the learning rate is multiplied by once t steps are finished."""
        if t < self.warmup:
            return (t + 1) / self.warmup
        s = min(1.0, (t - self.warmup) / max(1, steps - self.warmup))
        match self.lr_schedule:
            case "linear":
                return 1 - (1 - self.final) * s
            case "cosine":
                return self.final + (1 - self.final) * (1 + cos(pi * s)) / 2
            case _:
                return 1.0

    def schedule(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        # LambdaLR leaves plain functions out of its state, and with them the old plan.
        return LambdaLR(optimizer, lambda t: self.factor(t, steps))
