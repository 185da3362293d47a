"""Parameters with given gradients, and a context."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from gancore import Context


@pytest.fixture
def with_gradients() -> Callable[..., list[Parameter]]:
    """Parameters with these gradients and weights (ones unless given)."""

    def make(gradients: list[Tensor], weights: list[Tensor] | None = None) -> list[Parameter]:
        weights = weights or [torch.ones_like(g) for g in gradients]
        parameters = [Parameter(w.clone()) for w in weights]
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.clone()
        return parameters

    return make


@pytest.fixture
def context() -> Context:
    return Context(rng=torch.Generator(), step=torch.tensor(0.0), steps=1)
