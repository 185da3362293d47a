"""pytorch-ignite: an update function of one's own, in an engine that calls it and its handlers.

The update is written as its example of DCGAN is, with running averages of its five numbers; the fakes of G's update are
fresh ones, as in the loops, where the example takes D's again. With several updates of D, G's comes every n_critic-th
iteration.
"""

from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from ignite.metrics import RunningAverage
from torch import Tensor, nn
from torch.nn.functional import relu

from tests.benchmarks.peers.held import Held
from tests.benchmarks.peers.peer import Peer, penalty

NUMBERS = ("errD", "errG", "D_x", "D_G_z1", "D_G_z2")


class Ignite(Peer):
    """An iteration of the engine is an update of D, and G's where it is due."""

    name = "ignite"

    def train(self, batches: Held) -> None:
        self._bce = nn.BCELoss()
        self._optimizer_G, self._optimizer_D = self.optimizer(self.G), self.optimizer(self.D)
        dtype = next(self.D.parameters()).dtype
        self._real_labels, self._fake_labels = (
            torch.full((self.workload.batch,), label, dtype=dtype, device=self.device) for label in (1.0, 0.0)
        )
        self._numbers = dict.fromkeys(NUMBERS, 0.0)
        trainer = Engine(self._step)
        for name in NUMBERS:
            RunningAverage(alpha=0.98, output_transform=lambda numbers, name=name: numbers[name]).attach(trainer, name)
        if self.renewed:
            average = EMAHandler(self.G, momentum=self.renewed)
            average.attach(trainer, event=Events.ITERATION_COMPLETED(every=self.workload.n_critic))
        trainer.run(batches, max_epochs=1)

    def last_loss(self) -> float:
        return self._numbers["errG"]

    def _step(self, engine: Engine, batch: list[Tensor]) -> dict[str, float]:
        (real,) = batch
        real = real.to(self.device)
        weight = self.workload.gradient_penalty
        self._numbers |= self._train_discriminator(real) if weight is None else self._train_critic(real, weight)
        if engine.state.iteration % self.workload.n_critic == 0:
            self._numbers |= self._train_generator()
        return self._numbers

    def _train_discriminator(self, real: Tensor) -> dict[str, float]:
        hinge = self.workload.loss == "hinge"
        self.D.zero_grad()
        output = self._output(self.D(real))
        errD_real = relu(1 - output).mean() if hinge else self._bce(output, self._real_labels)
        D_x = output.mean().item()
        errD_real.backward()
        fake = self.G(self._noise())
        output = self._output(self.D(fake.detach()))
        errD_fake = relu(1 + output).mean() if hinge else self._bce(output, self._fake_labels)
        D_G_z1 = output.mean().item()
        errD_fake.backward()
        errD = errD_real + errD_fake
        self._optimizer_D.step()
        return {"errD": errD.item(), "D_x": D_x, "D_G_z1": D_G_z1}

    def _train_critic(self, real: Tensor, weight: float) -> dict[str, float]:
        self.D.zero_grad()
        fake = self.G(self._noise()).detach()
        D_x, D_G_z1 = self.D(real).mean(), self.D(fake).mean()
        errD = D_G_z1 - D_x
        (errD + penalty(self.D, real, fake, weight)).backward()
        self._optimizer_D.step()
        return {"errD": errD.item(), "D_x": D_x.item(), "D_G_z1": D_G_z1.item()}

    def _train_generator(self) -> dict[str, float]:
        self.G.zero_grad()
        output = self._output(self.D(self.G(self._noise())))
        errG = self._bce(output, self._real_labels) if self.workload.loss == "nonsaturating" else -output.mean()
        D_G_z2 = output.mean().item()
        errG.backward()
        self._optimizer_G.step()
        return {"errG": errG.item(), "D_G_z2": D_G_z2}

    def _output(self, score: Tensor) -> Tensor:
        """The example's D ends in a sigmoid."""
        return torch.sigmoid(score) if self.workload.loss == "nonsaturating" else score

    def _noise(self) -> Any:
        return torch.randn(self.workload.batch, self.latent_dim, device=self.device)
