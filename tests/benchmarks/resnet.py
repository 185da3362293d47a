"""The ResNet of SNGAN for 32x32 images (Miyato et al. 2018, arXiv:1802.05957, table 4), as plain modules.

They are handed to gancore as objects, the way users bring networks of their own. Where a block scales, its 1x1 shortcut
works on the smaller image: the values are the same either way, as both operations are linear.
"""

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.functional import avg_pool2d, interpolate, relu
from torch.nn.utils.parametrizations import spectral_norm

SIZE, CHANNELS, LATENT_DIM = 32, 3, 128
BOTTOM = 4  # pixels where G begins


class UpBlock(nn.Module):
    """Twice the size: norm, ReLU, up, conv, norm, ReLU, conv, beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv_1, self.conv_2 = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_1(_doubled(relu(self.norm_1(x))))
        h = self.conv_2(relu(self.norm_2(h)))
        return h + _doubled(self.shortcut(x))


class Block(nn.Module):
    """ReLU, conv, ReLU, conv, beside a shortcut; `down` halves the size. The first block of D has no ReLU before it:
    what it sees are images."""

    def __init__(self, before: int, after: int, *, down: bool, first: bool = False) -> None:
        super().__init__()
        self.conv_1, self.conv_2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if down or before != after else None
        self._down, self._first = down, first

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_1(x if self._first else relu(x))
        h = self.conv_2(relu(h))
        if self._down:
            h, x = avg_pool2d(h, 2), avg_pool2d(x, 2)
        return h + (x if self.shortcut is None else self.shortcut(x))


class Generator(nn.Module):
    """`G(z, y=None)`: `(N, 128)` -> `(N, 3, 32, 32)` in [-1, 1]."""

    latent_dim = LATENT_DIM

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.dense = nn.Linear(LATENT_DIM, BOTTOM * BOTTOM * width)
        self.blocks = nn.Sequential(*(UpBlock(width) for _ in range(3)))
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, CHANNELS, 3, padding=1)
        _initialise(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.dense(z).view(len(z), -1, BOTTOM, BOTTOM)
        return torch.tanh(self.last(relu(self.norm(self.blocks(x)))))


class Discriminator(nn.Module):
    """`D(x, y=None)`: `(N, 3, 32, 32)` -> score `(N,)`. Every layer is spectrally normalised."""

    mixes_samples = False

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            Block(CHANNELS, width, down=True, first=True),
            Block(width, width, down=True),
            Block(width, width, down=False),
            Block(width, width, down=False),
        )
        self.dense = nn.Linear(width, 1)
        _initialise(self)
        for layer in [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]:
            spectral_norm(layer)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.dense(relu(self.blocks(x)).sum((2, 3))).squeeze(1)


def networks(width: int) -> tuple[Generator, Discriminator]:
    """G of `width` and D of half of that, as in the paper (256 and 128); the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Generator(width), Discriminator(width // 2)


def _doubled(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2, mode="nearest")


def _initialise(network: nn.Module) -> None:
    """Glorot's, with a gain for the ReLU behind 3x3 convolutions, as in the authors' code."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            behind_relu = isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
            init.xavier_uniform_(layer.weight, 2**0.5 if behind_relu else 1.0)
            init.zeros_(layer.bias)
