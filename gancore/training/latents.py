"""Latents and labels: z ~ N(0, 1), y uniform over the classes."""

import torch
from attrs import frozen
from torch import Tensor

from gancore.training.places import ANYWHERE, Places
from gancore.training.ranks import ALONE, Ranks


@frozen(eq=False)
class Latents:
    """Draws `(z, y)` on the device: z `(N, dim)`, y `(N,)` int64, or None for unlabelled data."""

    dim: int
    classes: int
    device: torch.device
    rng: torch.Generator
    ranks: Ranks = ALONE

    def draw(self, n: int, into: Places = ANYWHERE) -> tuple[Tensor, Tensor | None]:
        """This process's share of a batch of n.

        Args:
            into: tensors to draw it into, for one process that has n all for itself.
        """
        z = torch.randn(n, self.dim, generator=self.rng, device=self.device, out=into[0])
        y = None
        if self.classes:
            y = torch.randint(self.classes, (n,), generator=self.rng, device=self.device, out=into[1])
        if self.ranks.size == 1:
            return z, y
        share = self.ranks.share(n)
        return z[share], None if y is None else y[share]

    def fixed(self, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """The same latents every time, on every device; labels count through the classes."""
        z = torch.randn(n, self.dim, generator=torch.Generator().manual_seed(seed)).to(self.device)
        y = torch.arange(n, device=self.device) % self.classes if self.classes else None
        return z, y
