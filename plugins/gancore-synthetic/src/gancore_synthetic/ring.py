"""The ring of Gaussians (PacGAN, Lin et al. 2018, arXiv:1712.04086, section 4.1)."""

from torch.utils.data import TensorDataset

from gancore import DataSpec, component, ge, gt, option
from gancore_synthetic.mixtures import RING_SIGMA, draw, ring_centres


@component
class Ring:
    """Gaussians on a circle (VEEGAN, Srivastava et al. 2017, arXiv:1705.07761; PacGAN, Lin et al. 2018,
    arXiv:1712.04086, section 4.1).

        x = radius (cos 2 pi k / modes, sin 2 pi k / modes) + sigma n,   k uniform, n ~ N(0, 1) per coordinate

    The label is k. Drawn once on the CPU from `seed`; the same samples serve the whole run.
    """

    modes: int = option(8, "Number of Gaussians.", ge(1))
    radius: float = option(1.0, "Radius of the circle.", gt(0))
    sigma: float = option(RING_SIGMA, "Standard deviation of each Gaussian.", ge(0))
    samples: int = option(100_000, "How many samples to draw.", ge(1))
    seed: int = option(0, "Seed of the draw.", ge(0))

    def spec(self) -> DataSpec:
        return DataSpec((2,), classes=self.modes, range=None)

    def load(self) -> TensorDataset:
        return draw(ring_centres(self.modes, self.radius), self.sigma, self.samples, self.seed)
