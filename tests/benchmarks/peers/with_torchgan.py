"""torchgan: losses that train, in a trainer that asks each of them in turn.

Where it lacks one, here is a loss of our own, the way its documentation recommends. It has no hinge and no averaged
generator. Its `WassersteinGradientPenalty` is other mathematics: one point between reals and fakes for the whole batch,
the norm of the batch's gradient, and an Adam step for the penalty alone.
"""

import os
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel

from tests.benchmarks.peers.held import Held
from tests.benchmarks.peers.peer import Peer, penalty

# torchgan decides at its import, and by what else is installed, whether it writes summaries every step.
os.environ.update(TENSORBOARD_LOGGING="0", VISDOM_LOGGING="0")

from torchgan.losses import (
    DiscriminatorLoss,
    GeneratorLoss,
    MinimaxDiscriminatorLoss,
    MinimaxGeneratorLoss,
    WassersteinDiscriminatorLoss,
    WassersteinGeneratorLoss,
)
from torchgan.models import Discriminator, Generator
from torchgan.trainer import Trainer


class Torchgan(Peer):
    """Each update of G or D is a loss' `train_ops`; after it the trainer sums the gradients' squares, one by one."""

    name = "torchgan"
    labelled = True

    def train(self, batches: Held) -> None:
        self._folder = TemporaryDirectory()  # it makes folders even where it writes nothing
        optimizer = {"name": Adam, "args": self.adam}
        of_D, self._of_G = self._losses()
        self._trainer = Trainer(
            {
                "generator": {"name": G, "args": {"network": self.G, "dims": self.latent_dim}, "optimizer": optimizer},
                "discriminator": {"name": D, "args": {"network": self.D}, "optimizer": optimizer},
            },
            [of_D, self._of_G],
            device=self.device,
            ncritic=self.workload.n_critic,
            epochs=1,
            checkpoints=f"{self._folder.name}/gan",
            recon=f"{self._folder.name}/images",
            test_noise=[torch.zeros(1, self.latent_dim)],  # of pictures that are never made; it would draw some
        )
        # G's turn is where the count of D's updates is a multiple of n_critic: from 1 it comes last, as in the loops.
        self._trainer.loss_information.update(generator_iters=1, discriminator_iters=1)
        self._trainer(batches)

    def last_loss(self) -> float:
        return float(self._trainer.logger.get_loss_viz().logs[type(self._of_G).__name__][-1])

    def _losses(self) -> tuple[DiscriminatorLoss, GeneratorLoss]:
        average, weight = self.average(), self.workload.gradient_penalty
        if self.workload.loss == "nonsaturating":
            return MinimaxDiscriminatorLoss(), AveragedMinimax(average) if average else MinimaxGeneratorLoss()
        of_D = HingeDiscriminatorLoss() if weight is None else WganGp(weight)
        return of_D, AveragedWasserstein(average) if average else WassersteinGeneratorLoss()


class G(Generator):
    def __init__(self, network: nn.Module, dims: int) -> None:
        super().__init__(encoding_dims=dims)
        self.network = network

    def forward(self, z: Tensor) -> Any:
        return self.network(z)

    def train(self, mode: bool = True) -> "G":
        return self  # networks are in the mode that they are to be trained in


class D(Discriminator):
    def __init__(self, network: nn.Module) -> None:
        super().__init__(input_dims=0)  # a note of it that only its own networks read
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)

    def train(self, mode: bool = True) -> "D":
        return self


class HingeDiscriminatorLoss(DiscriminatorLoss):
    def forward(self, dx: Tensor, dgz: Tensor) -> Tensor:
        return relu(1 - dx).mean() + relu(1 + dgz).mean()


class WganGp(WassersteinDiscriminatorLoss):
    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def train_ops(
        self, generator: G, discriminator: D, optimizer_discriminator: Adam, real_inputs: Tensor, device: torch.device
    ) -> float:
        noise = torch.randn(len(real_inputs), generator.encoding_dims, device=device)
        optimizer_discriminator.zero_grad()
        fake = generator(noise).detach()
        loss = self.forward(discriminator(real_inputs), discriminator(fake))
        (loss + penalty(discriminator, real_inputs, fake, self.weight)).backward()
        optimizer_discriminator.step()
        return loss.item()


class Averaging:
    """A loss of G that keeps an average of it."""

    def __init__(self, average: AveragedModel) -> None:
        super().__init__()
        self._averages = [average]  # in a list: no part of the loss, which is a module

    def train_ops(
        self, generator: G, discriminator: D, optimizer_generator: Adam, device: torch.device, batch_size: int
    ) -> float:
        loss: Any = super().train_ops(generator, discriminator, optimizer_generator, device, batch_size)
        self._averages[0].update_parameters(generator.network)
        return loss


class AveragedMinimax(Averaging, MinimaxGeneratorLoss):
    pass


class AveragedWasserstein(Averaging, WassersteinGeneratorLoss):
    pass
