"""G and D of DCGAN (Radford et al. 2015, arXiv:1511.06434)."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["none", "batch", "layer"]


class Generator(nn.Module):
    """`G(z, y=None)`: `(N, latent_dim)` -> `(N, channels, size, size)` in [-1, 1]."""

    def __init__(
        self,
        latent_dim: int,
        width: int,
        channels: int,
        size: int,
        norm: Norm,
        classes: int,
        embedding_dim: int,
    ) -> None:
        super().__init__()
        widths = widths_of(width, size)
        self.label = nn.Embedding(classes, embedding_dim) if classes else None
        # Batch norm subtracts the mean, and a bias with it: the layers before it have none.
        first = nn.ConvTranspose2d(
            latent_dim + (embedding_dim if classes else 0), widths[0], 4, 1, 0, bias=norm != "batch"
        )
        last = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)
        self.layers = nn.Sequential(
            first, *norm_of(norm, widths[0]), nn.ReLU(), *_upsampling(widths, norm), last, nn.Tanh()
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.label is not None:
            z = torch.cat([z, self.label(given(y))], dim=1)
        x: Tensor = self.layers(z[:, :, None, None])
        return x


class Discriminator(nn.Module):
    """`D(x, y=None)`: `(N, channels, size, size)` -> score `(N,)`, a logit."""

    def __init__(self, width: int, channels: int, size: int, norm: Norm, classes: int) -> None:
        super().__init__()
        widths = widths_of(width, size)[::-1]
        first = nn.Conv2d(channels, widths[0], 4, 2, 1)
        self.features = nn.Sequential(first, nn.LeakyReLU(0.2), *_downsampling(widths, norm))
        self.score = nn.Conv2d(widths[-1], 1, 4)
        self.label = nn.Embedding(classes, widths[-1]) if classes else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        features = self.features(x)
        score: Tensor = self.score(features).flatten()
        if self.label is not None:
            score = score + (self.label(given(y)) * features.sum((2, 3))).sum(1)
        return score


def widths_of(width: int, size: int) -> list[int]:
    """Channels from 4 x 4 up to size / 2: `width` there, doubling towards 4 x 4, at most 8 times `width`."""
    halvings = (size // 8).bit_length()  # from size / 2 to 4 pixels, both counted
    return [width * min(8, 2**k) for k in reversed(range(halvings))]


def _upsampling(widths: list[int], norm: Norm) -> Iterator[nn.Module]:
    for before, after in pairwise(widths):
        yield nn.ConvTranspose2d(before, after, 4, 2, 1, bias=norm != "batch")
        yield from norm_of(norm, after)
        yield nn.ReLU()


def _downsampling(widths: list[int], norm: Norm) -> Iterator[nn.Module]:
    for before, after in pairwise(widths):
        yield nn.Conv2d(before, after, 4, 2, 1, bias=norm != "batch")
        yield from norm_of(norm, after)
        yield nn.LeakyReLU(0.2)


def norm_of(norm: Norm, channels: int) -> list[nn.Module]:
    """`layer` normalises each sample over channels and pixels, with a gain and a bias per channel."""
    match norm:
        case "batch":
            return [nn.BatchNorm2d(channels)]
        case "layer":
            return [nn.GroupNorm(1, channels)]
        case _:
            return []


def given(y: Tensor | None) -> Tensor:
    """The labels that a conditional network cannot do without."""
    if y is None:
        raise ValueError("this network is conditional: call it as network(input, labels), labels (N,) int64")
    return y
