"""Mode coverage on ring and grid (VEEGAN, arXiv:1705.07761; PacGAN, arXiv:1712.04086, section 4)."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from attrs.validators import optional
from torch import Tensor

from gancore import ComponentError, component, ge, gt, option
from gancore_synthetic.mixtures import GRID_SIGMA, RING_SIGMA, grid_centres, ring_centres


@component
class ModeCoverage:
    """How many modes of a known mixture the fakes reach, how well and how evenly (VEEGAN, Srivastava et al.
    2017, arXiv:1705.07761; PacGAN, Lin et al. 2018, arXiv:1712.04086, section 4).

    A fake is of high quality if it lies within 3 sigma of its nearest mode.

        modes         number of modes that hold at least one high-quality fake
        high-quality  share of fakes that are of high quality, 0 to 1
        kl            KL(p || uniform) = sum p_k log(K p_k) in nats

    where p_k is the share of mode k among the high-quality fakes and K the number of modes. kl lies between 0
    and log K, which is everything in one mode. Without a single high-quality fake there is no p; kl is then
    log K, its worst value, so that a logged number is always finite. An exact draw of 2,500 samples has all
    modes, high-quality 0.989 (1 - exp(-9/2)) and kl about (K - 1) / 5,000.

    The geometry has to be that of the data set. Reals are not looked at.
    """

    mixture: Literal["ring", "grid"] = option("ring", "Which data set the modes are of.")
    modes: int = option(8, "Ring: number of Gaussians.", ge(1))
    radius: float = option(1.0, "Ring: radius of the circle.", gt(0))
    side: int = option(5, "Grid: Gaussians along one side.", ge(1))
    spacing: float = option(2.0, "Grid: distance between neighbours.", gt(0))
    sigma: float | None = option(
        None, "Standard deviation of each Gaussian; unset: 0.01 for ring, 0.05 for grid.", optional(gt(0))
    )
    every: int = option(1000, "Steps between two evaluations.", ge(1))
    samples: int = option(2500, "Fakes to evaluate; the papers use 2,500.", ge(1))

    def evaluate(self, real: Tensor, fake: Tensor) -> Mapping[str, float]:
        """`fake` is `(n, 2)`. Raises ComponentError for data of any other shape."""
        if fake.dim() != 2 or fake.shape[1] != 2:
            raise ComponentError(
                f"metric 'mode-coverage' needs points of shape (2,), not {tuple(fake.shape[1:])}: "
                "use it with [data] name = 'ring' or 'grid'"
            )
        centres, sigma = self._geometry()
        distance = (fake[:, None] - centres.to(fake)).norm(dim=2)
        nearest, mode = distance.min(dim=1)
        # A comparison with NaN is false, so broken fakes count as low quality. Waits for the device.
        hits = torch.bincount(mode[nearest <= 3 * sigma].cpu(), minlength=len(centres)).double()

        total = float(hits.sum())
        share = hits / total if total else torch.eye(len(centres), dtype=hits.dtype)[0]
        return {
            "modes": float((hits > 0).sum()),
            "high-quality": total / len(fake),
            "kl": max(0.0, float(torch.xlogy(share, share).sum()) + math.log(len(centres))),
        }

    def _geometry(self) -> tuple[Tensor, float]:
        if self.mixture == "ring":
            return ring_centres(self.modes, self.radius), RING_SIGMA if self.sigma is None else self.sigma
        return grid_centres(self.side, self.spacing), GRID_SIGMA if self.sigma is None else self.sigma
