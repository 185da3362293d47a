"""A context whose stream starts at a seed."""

from collections.abc import Callable

import pytest
import torch

from gancore import Context


@pytest.fixture
def context() -> Callable[..., Context]:
    def make(seed: int = 0, step: float = 0.0, steps: int = 100) -> Context:
        return Context(rng=torch.Generator().manual_seed(seed), step=torch.tensor(step), steps=steps)

    return make
