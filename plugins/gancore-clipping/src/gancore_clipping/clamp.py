"""Clamping that hides nothing."""

import torch
from torch import Tensor


def clamp_finite_(x: Tensor, limit: float) -> None:
    """Clamp to [-limit, limit] in place, but leave NaN and infinities: clamped, nobody would notice them."""
    x.copy_(torch.where(x.isinf(), x, x.clamp(-limit, limit)))
