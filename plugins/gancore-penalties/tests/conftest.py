"""What the penalties are tried on: discriminators whose slope is known by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gancore import Context, Phase


class Linear(nn.Module):
    """D(x) = a . x over the flattened x, so that its slope is a everywhere."""

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(a)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x.flatten(1) @ self.a


class Quadratic(nn.Module):
    """D(x) = x^T A x / 2 with a symmetric A, so that its slope at x is A x."""

    def __init__(self, A: Tensor) -> None:
        super().__init__()
        self.A = nn.Parameter(A)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return 0.5 * ((x @ self.A) * x).sum(1)


class ByLabel(nn.Module):
    """D(x, y) = scale[y] . x: its slope at a sample tells which label it was given."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return (x * self.scale[y]).sum(1)


class Tanh(nn.Module):
    """A small smooth D with random float64 weights, as a function of them: `(3, 4)`, `(4,)`, `(4,)`."""

    def __init__(self, inner: Tensor, bias: Tensor, outer: Tensor) -> None:
        super().__init__()
        # Not parameters: gradcheck hands in tensors of its own, whose history has to stay.
        self.inner, self.bias, self.outer = inner, bias, outer

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return torch.tanh(x.flatten(1) @ self.inner + self.bias) @ self.outer


@pytest.fixture
def discriminators() -> dict[str, type[nn.Module]]:
    return {"linear": Linear, "quadratic": Quadratic, "by_label": ByLabel, "tanh": Tanh}


@pytest.fixture
def phase() -> Callable[..., Phase]:
    """D's phase on a discriminator and two batches."""

    def make(
        discriminator: nn.Module,
        real: Tensor,
        fake: Tensor,
        real_labels: Tensor | None = None,
        fake_labels: Tensor | None = None,
    ) -> Phase:
        return Phase(
            role="discriminator",
            generator=nn.Identity(),
            discriminator=discriminator,
            z=torch.zeros(len(fake), 1),
            fake=fake,
            fake_score=torch.zeros(len(fake)),
            fake_labels=fake_labels,
            real=real,
            real_score=torch.zeros(len(real)),
            real_labels=real_labels,
        )

    return make


@pytest.fixture
def context() -> Callable[[int], Context]:
    """A context whose stream starts at a seed."""

    def make(seed: int = 0) -> Context:
        return Context(rng=torch.Generator().manual_seed(seed), step=torch.tensor(0.0), steps=1)

    return make
