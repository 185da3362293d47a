"""The grid of Gaussians (PacGAN, Lin et al. 2018, arXiv:1712.04086, section 4.1)."""

from torch.utils.data import TensorDataset

from gancore import DataSpec, component, ge, gt, option
from gancore_synthetic.mixtures import GRID_SIGMA, draw, grid_centres


@component
class Grid:
    """Gaussians on a square grid (VEEGAN, Srivastava et al. 2017, arXiv:1705.07761; PacGAN, Lin et al. 2018,
    arXiv:1712.04086, section 4.1).

        x = spacing (i - c, j - c) + sigma n,   c = (side - 1) / 2, i, j uniform in 0..side-1, n ~ N(0, 1)

    n per coordinate. By default the centres are {-4, -2, 0, 2, 4}^2. The label is side j + i. Drawn once
    on the CPU from `seed`; the same samples serve the whole run.
    """

    side: int = option(5, "Gaussians along one side; side * side in all.", ge(1))
    spacing: float = option(2.0, "Distance between neighbours.", gt(0))
    sigma: float = option(GRID_SIGMA, "Standard deviation of each Gaussian.", ge(0))
    samples: int = option(100_000, "How many samples to draw.", ge(1))
    seed: int = option(0, "Seed of the draw.", ge(0))

    def spec(self) -> DataSpec:
        return DataSpec((2,), classes=self.side**2, range=None)

    def load(self) -> TensorDataset:
        return draw(grid_centres(self.side, self.spacing), self.sigma, self.samples, self.seed)
