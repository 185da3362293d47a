"""Adaptive gradient clipping, AGC (Brock et al. 2021, arXiv:2102.06171, equation 3)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

FLOOR = 1e-3
"""The paper's epsilon: the least weight norm, so that units initialised at zero can leave it."""


def clip_adaptively(parameters: Sequence[Parameter], limit: float, norm: Tensor) -> Tensor:
    """Scale each unit's gradient by min(1, limit max(||w||, 1e-3) / ||g||), in place.

    A unit is a row of the weight (its first dimension): an output of a linear or convolutional layer, an
    *input* channel of a transposed convolution, which a bare parameter cannot be told from. As in the
    authors' code, a tensor with fewer than two dimensions larger than 1 (biases, gains, scalars) is one
    unit. A unit whose gradient is not finite is left as it is.

    Args:
        norm: as in `clip_by_norm`; not needed here, gives dtype and device.

    Returns:
        0-d: the share of units that were scaled.
    """
    clipped, count = norm.new_zeros(()), 0
    for p in parameters:
        if p.grad is not None:
            w, g = _rows(p), _rows(p.grad)
            most = limit * torch.linalg.vector_norm(w, dim=1).clamp(min=FLOOR)
            size = torch.linalg.vector_norm(g, dim=1)
            exceeds = size.isfinite() & (size > most)
            scale = torch.where(exceeds, most / size, 1.0)
            p.grad.copy_((g * scale[:, None]).view_as(p.grad))
            clipped += exceeds.sum()
            count += len(size)
    return clipped / max(count, 1)


def _rows(x: Tensor) -> Tensor:
    """`(units, elements of a unit)`."""
    return x.reshape(1, -1) if x.squeeze().dim() < 2 else x.flatten(1)
