"""One step of the subgradient method, as a torch optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import get_total_norm


class SubgradientStep(torch.optim.Optimizer):
    """x <- x - lr g, or lr g / ||g|| with the norm over all parameters of all groups.

    Capture-safe; lr may be a 0-d tensor. Parameters without a gradient stay as they are.
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float, normalize: bool) -> None:
        super().__init__(parameters, {"lr": lr, "normalize": normalize})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = [(x, group["lr"]) for group in self.param_groups for x in group["params"] if x.grad is not None]
        gradients = [x.grad for x, _ in moving]
        if moving and self.defaults["normalize"]:
            gradients = unit(gradients)
        for (x, lr), g in zip(moving, gradients, strict=True):
            x.sub_(lr * g)
        return loss


def unit(gradients: list[Tensor]) -> list[Tensor]:
    """`gradients` divided by their common Euclidean norm; 0 where all are 0, NaN where one is not finite.

    Divided by the largest entry first: squares overflow from 1e19 on and underflow below 1e-19 (float32).
    """
    largest = get_total_norm(gradients, torch.inf)
    tiny = torch.finfo(largest.dtype).tiny
    scaled = [g / (largest + tiny) for g in gradients]
    norm = get_total_norm(scaled)
    return [g / (norm + tiny) for g in scaled]
