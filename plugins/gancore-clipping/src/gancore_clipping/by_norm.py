"""Clipping by total norm (Pascanu et al. 2013, arXiv:1211.5063, algorithm 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter


def clip_by_norm(parameters: Sequence[Parameter], limit: float | Tensor, norm: Tensor) -> Tensor:
    """Scale all gradients by min(1, limit / norm), in place.

    Args:
        limit: the largest total norm, above 0; a 0-d tensor where it is computed on the device.
        norm: Euclidean norm of all gradients together, 0-d. Where it is not finite, gradients are
            left as they are.

    Returns:
        0-d: 1 if anything was scaled, else 0.
    """
    clipped = norm.isfinite() & (norm > limit)
    # Multiplying by one is cheaper than asking the device whether there is anything to do.
    scale = torch.where(clipped, limit / norm, 1.0)
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, scale)
    return clipped.to(norm.dtype)
