"""What all candidates have in common: data, latents of a check of parity, and steps on demand."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

from tests.benchmarks.peers import NotExpressible
from tests.benchmarks.peers.held import Held
from tests.benchmarks.workloads import Workload


class Peer(ABC):
    """
    Attributes:
        labelled: the trainer reads batches of images and labels, as its users' datasets have them; here all are 0.
        adam: options of both optimizers.
        renewed: share of G in its average, every step; 0 without average.
    """

    name: ClassVar[str]
    labelled: ClassVar[bool] = False
    losses_known: ClassVar[tuple[str, ...]] = ("nonsaturating", "wgan-gp", "hinge")

    def __init__(self, workload: Workload, run: Any) -> None:
        if workload.loss not in self.losses_known:
            raise NotExpressible(f"{self.name} has no loss {workload.loss} here")
        self.workload = workload
        self.G, self.D = run.game.generator.network, run.game.discriminator.network
        self.device, self.latent_dim = run.device, run.game.latents.dim
        self.adam: dict[str, Any] = {"lr": workload.lr, "betas": workload.betas}
        self.renewed = 1 - 0.5 ** (workload.batch / workload.ema) if workload.ema else 0.0
        self._held: Held | None = None

    def advance(self, steps: int) -> None:
        """Train so many steps, of G. The first call starts the trainer, too."""
        if self._held is None:
            self._held = Held(self.train, self._forever(), self.workload.batch)
        self._held.advance(steps * self.workload.n_critic)

    def losses(self, reals: Iterable[Tensor], latents: Iterable[Tensor], steps: int) -> list[float]:
        """G's losses over so many steps on given reals and latents, for a check of parity."""
        held = Held(self.train, (self._batch(real) for real in reals), self.workload.batch)
        given, found = iter(latents), []
        with patch("torch.randn", lambda *_, **__: next(given)):  # libraries and their examples draw with it
            for _ in range(steps):
                held.advance(self.workload.n_critic)
                found.append(self.last_loss())
        return found

    @abstractmethod
    def train(self, batches: Held) -> None:
        """Build the library's trainer and start it on these batches, n_critic of them a step."""

    @abstractmethod
    def last_loss(self) -> float:
        """Of G, in the step before."""

    def average(self) -> AveragedModel | None:
        """For a library that has none of its own: torch's, to be updated after each update of G."""
        if not self.renewed:
            return None
        average = AveragedModel(self.G, multi_avg_fn=get_ema_multi_avg_fn(1 - self.renewed))
        average.n_averaged.fill_(1)  # the weights of the start count, as in the loops
        return average

    def optimizer(self, network: nn.Module) -> Adam:
        return Adam(network.parameters(), **self.adam)

    def _forever(self) -> Iterator[list[Tensor]]:
        columns = self._batch(self.workload.data().float().div_(127.5).sub_(1))
        loader = DataLoader(TensorDataset(*columns), batch_size=self.workload.batch, shuffle=True, drop_last=True)
        while True:
            yield from loader

    def _batch(self, images: Tensor) -> list[Tensor]:
        return [images, torch.zeros(len(images), dtype=torch.long)] if self.labelled else [images]


def penalty(D: Any, real: Tensor, fake: Tensor, weight: float) -> Tensor:
    """WGAN-GP's, as in the loops, where a library leaves it to its user."""
    share = torch.rand(len(real), *[1] * (real.dim() - 1), dtype=real.dtype, device=real.device)
    between = torch.lerp(fake, real, share).requires_grad_()
    (gradient,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    slope = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
    return weight * (slope - 1).square().mean()
