"""The swiss roll of the WGAN-GP paper (Gulrajani et al. 2017, arXiv:1704.00028, figure 1)."""

import math

import torch
from torch.utils.data import TensorDataset

from gancore import DataSpec, component, ge, option

# The authors' constant, about the roll's standard deviation: both coordinates end up of order 1.
SCALE = 7.5


@component
class SwissRoll:
    """A noisy spiral (Gulrajani et al. 2017, arXiv:1704.00028, figure 1; constants of the authors' code).

        x = ((t cos t, t sin t) + noise n) / 7.5,   t = 3/2 pi (1 + 2u),  u ~ U(0, 1),  n ~ N(0, 1)

    No labels. Drawn once on the CPU from `seed`; the same samples serve the whole run.
    """

    noise: float = option(0.25, "Standard deviation of the noise, before the division by 7.5.", ge(0))
    samples: int = option(100_000, "How many samples to draw.", ge(1))
    seed: int = option(0, "Seed of the draw.", ge(0))

    def spec(self) -> DataSpec:
        return DataSpec((2,), range=None)

    def load(self) -> TensorDataset:
        rng = torch.Generator().manual_seed(self.seed)
        t = 1.5 * math.pi * (1 + 2 * torch.rand(self.samples, generator=rng))
        roll = torch.stack((t * t.cos(), t * t.sin()), dim=1)
        return TensorDataset((roll + self.noise * torch.randn(self.samples, 2, generator=rng)) / SCALE)
