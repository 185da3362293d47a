"""The two mixtures of Gaussians, shared by the data sets that draw from them and the metric that knows them.

Their geometry is that of VEEGAN (Srivastava et al. 2017, arXiv:1705.07761) and PacGAN (Lin et al. 2018,
arXiv:1712.04086, section 4.1).
"""

import math

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

RING_SIGMA = 0.01
GRID_SIGMA = 0.05


def ring_centres(modes: int, radius: float) -> Tensor:
    """`(modes, 2)` float32, evenly spaced on a circle around 0, counter-clockwise from (radius, 0)."""
    angles = [2 * math.pi * k / modes for k in range(modes)]
    return torch.tensor([(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles])


def grid_centres(side: int, spacing: float) -> Tensor:
    """`(side * side, 2)` float32, a square grid around 0, row by row from the lower left."""
    ticks = [spacing * (k - (side - 1) / 2) for k in range(side)]
    return torch.tensor([(x, y) for y in ticks for x in ticks])


def draw(centres: Tensor, sigma: float, samples: int, seed: int) -> TensorDataset:
    """Draw with equal weights: values `(samples, 2)` and labels `(samples,)`, the index of the mode."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(len(centres), (samples,), generator=rng)
    noise = torch.randn(samples, 2, generator=rng)
    return TensorDataset(centres[labels] + sigma * noise, labels)
