"""What is measured of scores and samples, as pure functions of tensors. None of them waits for the device.

A number that is not finite stays one: comparisons with NaN are False, and would make it a good score or a bad one.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

PAIRS = 64  # samples between which distances are measured
MANY = 2**18  # pairs of scores that are not compared one by one


def slopes(score: Tensor, x: Tensor) -> Tensor:
    """||d sum_j s_j / dx_i||, `(N,)`: stands for ||ds_i / dx_i|| where D mixes samples."""
    (gradient,) = torch.autograd.grad(score.sum(), x, retain_graph=True)
    found: Tensor = torch.linalg.vector_norm(gradient.detach().flatten(1), dim=1)
    return found


def slope_between(D: nn.Module, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
    """The mean of ||grad D|| at points evenly spread between pairs of a real and a fake."""
    share = torch.arange(len(real), device=real.device, dtype=real.dtype).add(0.5).div(len(real))
    between = torch.lerp(fake, real, share.view(-1, *[1] * (real.dim() - 1))).requires_grad_()
    (gradient,) = torch.autograd.grad(D(between, y).sum(), between)
    slopes: Tensor = torch.linalg.vector_norm(gradient.flatten(1).float(), dim=1)
    return slopes.mean()


def slope_at(fakes: Tensor, scores: Tensor) -> Tensor:
    """B: the mean of ||ds_i / dx_i|| = ||dL/dx_i|| / |dL/ds_i|, over the samples at which the loss has a slope.

    Args:
        fakes: ||dL/dx_i||, `(N,)`.
        scores: dL/ds_i, `(N,)`. Where it is 0, D's slope cannot be heard.
    """
    heard = scores != 0
    of_each = torch.where(heard, fakes / scores, 0 * fakes)  # 0 * NaN is NaN
    found: Tensor = torch.linalg.vector_norm(of_each, 1) / heard.sum().clamp(min=1)
    return found


def auc(real: Tensor, fake: Tensor) -> Tensor:
    """P(real > fake) + P(real = fake) / 2 over all pairs of `(N,)` and `(M,)`: the area under the ROC curve."""
    if len(real) * len(fake) <= MANY:  # a comparison each is less work than a sort
        return _unless_nan((real[:, None] - fake).sign().mean() / 2 + 0.5, real, fake)
    ordered = fake.sort().values
    below = torch.searchsorted(ordered, real, right=False)
    not_above = torch.searchsorted(ordered, real, right=True)
    return _unless_nan((below + not_above).float().mean() / (2 * len(fake)), real, fake)


def distances(x: Tensor) -> Tensor:
    """Euclidean distances between all pairs of (at most PAIRS) samples, as a vector."""
    return torch.pdist(x[:PAIRS].detach().flatten(1).float())


def duplicates(of_real: Tensor, of_fake: Tensor) -> Tensor:
    """The share of fakes that have another one within a tenth of the mean distance from a real to its nearest.

    Args:
        of_real, of_fake: `distances`.
    """
    close = _nearest(of_fake) < 0.1 * _nearest(of_real).mean()
    return _unless_nan(close.float().mean(), of_real, of_fake)


def spreads(after: Sequence[Tensor], before: Sequence[Tensor]) -> Tensor:
    """The standard deviation of each difference, `(n,)`."""
    return torch.stack([step.std() for step in torch._foreach_sub(list(after), list(before))])


def _unless_nan(value: Tensor, *sources: Tensor) -> Tensor:
    return torch.where(torch.cat(sources).isnan().any(), torch.nan, value)


def _nearest(gaps: Tensor) -> Tensor:
    """Of distances between all pairs, for every sample the smallest."""
    n = (1 + math.isqrt(1 + 8 * len(gaps))) // 2
    above = gaps.new_full((n, n), torch.inf)
    above[*torch.triu_indices(n, n, 1, device=gaps.device)] = gaps
    return torch.minimum(above.amin(0), above.amin(1))
