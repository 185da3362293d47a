"""G and D of the fully connected GAN, and the pieces they share."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "leaky-relu", "prelu", "elu", "tanh", "sigmoid"]
Norm = Literal["none", "batch", "layer"]

SLOPE = 0.2  # of leaky-relu for negative inputs

ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": partial(nn.LeakyReLU, SLOPE),
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Generator(nn.Module):
    """`G(z, y=None)`: `(N, latent_dim)` -> `(N, *shape)` within `bounds`; None is unbounded."""

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int],
        shape: tuple[int, ...],
        bounds: tuple[float, float] | None,
        activation: Activation,
        norm: Norm,
        classes: int,
        embedding_dim: int,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.label = AppendLabel(classes, embedding_dim) if classes else None
        width = latent_dim + (embedding_dim if classes else 0)
        self.layers = nn.Sequential(
            *hidden_layers([width, *hidden], activation, norm),
            nn.Linear([width, *hidden][-1], prod(shape)),
            output(bounds),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.label is not None:
            z = self.label(z, y)
        x: Tensor = self.layers(z)
        return x.reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """`D(x, y=None)`: `(N, *shape)` -> score `(N,)`, a logit."""

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: Sequence[int],
        activation: Activation,
        norm: Norm,
        classes: int,
        embedding_dim: int,
    ) -> None:
        super().__init__()
        self.label = AppendLabel(classes, embedding_dim) if classes else None
        width = prod(shape) + (embedding_dim if classes else 0)
        self.layers = nn.Sequential(
            *hidden_layers([width, *hidden], activation, norm), nn.Linear([width, *hidden][-1], 1)
        )

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = x.flatten(1)
        if self.label is not None:
            x = self.label(x, y)
        score: Tensor = self.layers(x)
        return score.squeeze(1)


class AppendLabel(nn.Module):
    """`(N, F)`, labels `(N,)` -> `(N, F + width)`: appends an embedding, at first N(0, 1) as z is."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, width)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        if y is None:
            raise ValueError("this network is conditional: call it as network(input, labels), labels (N,) int64")
        return torch.cat([x, self.embedding(y)], dim=1)


class Bounded(nn.Module):
    """tanh, stretched from (-1, 1) to (low, high)."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        return (self.high + self.low) / 2 + (self.high - self.low) / 2 * torch.tanh(x)


def hidden_layers(widths: Sequence[int], activation: Activation, norm: Norm) -> Iterator[nn.Module]:
    """Linear, norm, activation from each width to the next."""
    for before, after in pairwise(widths):
        # Batch norm subtracts the mean, and a bias with it.
        yield nn.Linear(before, after, bias=norm != "batch")
        if norm == "batch":
            yield nn.BatchNorm1d(after)
        elif norm == "layer":
            yield nn.LayerNorm(after)
        yield ACTIVATIONS[activation]()


def output(bounds: tuple[float, float] | None) -> nn.Module:
    """What brings G's last layer into the range of the data."""
    if bounds is None:
        return nn.Identity()
    return nn.Tanh() if bounds == (-1, 1) else Bounded(*bounds)
