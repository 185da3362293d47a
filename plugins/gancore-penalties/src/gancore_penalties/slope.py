"""D's slope: the gradient of its score with respect to its input, which all of these penalties are about."""

import torch
from torch import Tensor, nn


def slope(discriminator: nn.Module, x: Tensor, y: Tensor | None) -> Tensor:
    """The gradient of every sample's score at `x`, differentiable a second time.

    Args:
        x: `(N, *shape)`; detached here, as the penalties hold the points fixed.
        y: labels `(N,)` or None.

    Returns:
        `(N, F)`, flattened over everything but the batch. The gradient of the sum of scores
        holds the per-sample gradients only if D does not mix samples.
    """
    x = x.detach().requires_grad_()
    score = discriminator(x, y)
    (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return gradient.flatten(1)


def norm(gradient: Tensor) -> Tensor:
    """Euclidean norm `(N,)` of `(N, F)`. The 1e-12 keeps the root's slope finite where a gradient is zero."""
    return (gradient.square().sum(1) + 1e-12).sqrt()
