"""Lightning: a module with manual optimization, as in its example of a GAN, in its `Trainer`.

Logger, progress bar, checkpoints and summary are off; the losses are logged with `self.log`, as in the example. D's
update comes first and its loss is the sum of two terms, as in the loops. With several updates of D, G's comes with
every n_critic-th batch.
"""

import logging
import warnings
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from tests.benchmarks.peers.held import Held
from tests.benchmarks.peers.peer import Peer, penalty

warnings.filterwarnings("ignore", module="lightning")  # about its own use of torch, and modules at rest


class Lightning(Peer):
    """A batch is an update of D, and of G where it is due."""

    name = "lightning"

    def train(self, batches: Held) -> None:
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # what hardware it has found
        self._module = Gan(self)
        trainer = Trainer(
            accelerator="cpu" if self.device.type == "cpu" else "gpu",
            devices=1,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self._module, batches)

    def last_loss(self) -> float:
        return float(self._module.trainer.callback_metrics["g_loss"])


class Gan(LightningModule):
    def __init__(self, of: Peer) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.of, self.workload = of, of.workload
        self.generator, self.discriminator = of.G, of.D
        self.average = of.average()

    def forward(self, z: Tensor) -> Any:
        return self.generator(z)

    def adversarial_loss(self, score: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(torch.sigmoid(score), target)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        (reals,) = batch
        opt_g, opt_d = self.optimizers()

        self.toggle_optimizer(opt_d)
        fakes = self(self._noise(reals)).detach()
        d_loss = self._discriminator_loss(reals, fakes)
        opt_d.zero_grad()
        self.manual_backward(d_loss)
        opt_d.step()
        self.untoggle_optimizer(opt_d)
        self.log("d_loss", d_loss)

        if (batch_idx + 1) % self.workload.n_critic == 0:
            self.toggle_optimizer(opt_g)
            g_loss = self._generator_loss(self.discriminator(self(self._noise(reals))))
            opt_g.zero_grad()
            self.manual_backward(g_loss)
            opt_g.step()
            self.untoggle_optimizer(opt_g)
            self.log("g_loss", g_loss)
            if self.average is not None:
                self.average.update_parameters(self.generator)

    def configure_optimizers(self) -> list[Optimizer]:
        return [self.of.optimizer(network) for network in (self.generator, self.discriminator)]

    def _discriminator_loss(self, reals: Tensor, fakes: Tensor) -> Tensor:
        of_real, of_fake = self.discriminator(reals), self.discriminator(fakes)
        weight = self.workload.gradient_penalty
        if weight is not None:
            return of_fake.mean() - of_real.mean() + penalty(self.discriminator, reals, fakes, weight)
        if self.workload.loss == "hinge":
            return F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean()
        valid, fake = torch.ones_like(of_real), torch.zeros_like(of_fake)
        return self.adversarial_loss(of_real, valid) + self.adversarial_loss(of_fake, fake)

    def _generator_loss(self, score: Tensor) -> Tensor:
        if self.workload.loss == "nonsaturating":
            return self.adversarial_loss(score, torch.ones_like(score))
        return -score.mean()

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(len(like), self.of.latent_dim).type_as(like)
