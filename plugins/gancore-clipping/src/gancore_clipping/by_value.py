"""Clipping by value: every element of the gradient within [-limit, limit]."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import Parameter

from gancore_clipping.clamp import clamp_finite_


def clip_by_value(parameters: Sequence[Parameter], limit: float, norm: Tensor) -> Tensor:
    """Clamp every gradient to [-limit, limit], in place.

    Args:
        norm: as in `clip_by_norm`; not needed here, gives dtype and device.

    Returns:
        0-d: the share of elements that were clamped.
    """
    clipped, count = norm.new_zeros(()), 0
    for p in parameters:
        if p.grad is not None:
            clipped += (p.grad.isfinite() & (p.grad.abs() > limit)).sum()
            count += p.grad.numel()
            clamp_finite_(p.grad, limit)
    return clipped / max(count, 1)
