"""The loops that users write themselves, on the networks of a gancore run and with the same mathematics; and gancore's.

`Example` is written as the well-known example of DCGAN in PyTorch is: a DataLoader of float images, a sigmoid and
`BCELoss`, one backward for reals and one for fakes, `.item()` on every number, every step. `Lean` is the best that one
would write by hand, eagerly.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, TensorDataset

from tests.benchmarks.workloads import Workload

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


class Loop:
    """What the two loops by hand have in common: networks, and how they are driven."""

    def __init__(self, workload: Workload, run: Any) -> None:
        self._of = workload
        self.G, self.D = run.game.generator.network, run.game.discriminator.network
        self._device, self._latent_dim = run.device, run.game.latents.dim
        # The penalty's points are drawn from the stream that gancore draws them from: so they are the same.
        self._points = next((r.context.rng for r in run.game.discriminator.regularizers), None)
        self._renewed = 1 - 0.5 ** (workload.batch / workload.ema) if workload.ema else 0.0

    def step(self, reals: "Iterator[Tensor] | None" = None, latents: "Iterator[Tensor] | None" = None) -> Tensor:
        """One step, on the given reals and latents or its own. Returns G's loss."""
        raise NotImplementedError

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def losses(self, reals: Iterable[Tensor], latents: Iterable[Tensor], steps: int) -> list[float]:
        """G's loss in each of the first steps, on given reals and latents."""
        given = iter(reals), iter(latents)
        return [float(self.step(*given)) for _ in range(steps)]

    def _adam(self, network: nn.Module, **options: Any) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=self._of.lr, betas=self._of.betas, **options)

    def _latent(self, latents: "Iterator[Tensor] | None") -> Tensor:
        return next(latents) if latents else torch.randn(self._of.batch, self._latent_dim, device=self._device)

    def _penalty(self, real: Tensor, fake: Tensor, weight: float) -> Tensor:
        one_each = (len(real), *[1] * (real.dim() - 1))
        share = torch.rand(one_each, generator=self._points, device=real.device)
        between = torch.lerp(fake, real, share).requires_grad_()
        (gradient,) = torch.autograd.grad(self.D(between).sum(), between, create_graph=True)
        slope = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
        return weight * (slope - 1).square().mean()


class Example(Loop):
    """As in the example, down to its habits."""

    def __init__(self, workload: Workload, run: Any) -> None:
        super().__init__(workload, run)
        self._optimizer_D, self._optimizer_G = (self._adam(network) for network in (self.D, self.G))
        self._loader = DataLoader(
            TensorDataset(_floats(workload.data())), batch_size=workload.batch, shuffle=True, drop_last=True
        )
        self._batches = self._forever()
        self._criterion = nn.BCELoss()
        self._average = copy.deepcopy(self.G) if workload.ema else None

    def step(self, reals: "Iterator[Tensor] | None" = None, latents: "Iterator[Tensor] | None" = None) -> Tensor:
        for _ in range(self._of.n_critic):
            real = (next(reals) if reals else next(self._batches)).to(self._device)
            self._update_critic(real, self._latent(latents))
        self.G.zero_grad()
        score = self.D(self.G(self._latent(latents)))
        loss = self._classified(score, 1.0) if self._of.loss == "nonsaturating" else -score.mean()
        loss.backward()
        loss.item()
        self._optimizer_G.step()
        if self._average is not None:
            for average, parameter in zip(self._average.parameters(), self.G.parameters(), strict=True):
                average.data.mul_(1 - self._renewed).add_(parameter.data, alpha=self._renewed)
        return loss.detach()

    def _update_critic(self, real: Tensor, z: Tensor) -> None:
        self.D.zero_grad()
        if self._of.gradient_penalty is not None:
            fake = self.G(z).detach()
            loss = self.D(fake).mean() - self.D(real).mean()
            loss.backward()
            self._penalty(real, fake, self._of.gradient_penalty).backward()
            loss.item()
        else:
            score = self.D(real)
            hinge = self._of.loss == "hinge"
            loss_real = relu(1 - score).mean() if hinge else self._classified(score, 1.0)
            loss_real.backward()
            score.mean().item()
            fake = self.G(z)
            score = self.D(fake.detach())
            loss_fake = relu(1 + score).mean() if hinge else self._classified(score, 0.0)
            loss_fake.backward()
            score.mean().item()
            (loss_real + loss_fake).item()
        self._optimizer_D.step()

    def _classified(self, score: Tensor, label: float) -> Tensor:
        return self._criterion(torch.sigmoid(score).view(-1), torch.full((len(score),), label, device=self._device))

    def _forever(self) -> Iterator[Tensor]:
        while True:
            for (batch,) in self._loader:
                yield batch


class Lean(Loop):
    """By hand, and well: resident uint8 images, logits, one pass of D over reals and fakes where it does not mix them,
    fused Adam, channels last, D frozen while G learns, no waiting.

    Args:
        bf16: networks under autocast; losses and penalties stay in float32.
    """

    def __init__(self, workload: Workload, run: Any, *, bf16: bool = False) -> None:
        super().__init__(workload, run)
        images = workload.data().to(self._device)
        modules = [*self.G.modules(), *self.D.modules()]
        if any(isinstance(module, CONVOLUTIONS) for module in modules):
            self.G.to(memory_format=torch.channels_last)
            self.D.to(memory_format=torch.channels_last)
            images = images.to(memory_format=torch.channels_last)
        self._images, self._bf16 = images, bf16
        self._mixes = any(isinstance(module, _BatchNorm) for module in self.D.modules())
        self._optimizer_D, self._optimizer_G = (self._adam(network, fused=True) for network in (self.D, self.G))
        self._of_D = list(self.D.parameters())
        average = copy.deepcopy(self.G).requires_grad_(False) if workload.ema else None
        self._averages = list(average.parameters()) if average is not None else []
        self._of_G = list(self.G.parameters())

    def step(self, reals: "Iterator[Tensor] | None" = None, latents: "Iterator[Tensor] | None" = None) -> Tensor:
        for _ in range(self._of.n_critic):
            self._update_critic(next(reals) if reals else self._drawn(), self._latent(latents))
        z = self._latent(latents)
        for parameter in self._of_D:
            parameter.requires_grad_(False)
        with self._autocast():
            score = self.D(self.G(z))
        score = score.float()
        loss = softplus(-score).mean() if self._of.loss == "nonsaturating" else -score.mean()
        self._optimizer_G.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer_G.step()
        for parameter in self._of_D:
            parameter.requires_grad_(True)
        if self._averages:
            torch._foreach_lerp_(self._averages, self._of_G, self._renewed)
        return loss.detach()

    def _update_critic(self, real: Tensor, z: Tensor) -> None:
        with torch.no_grad(), self._autocast():
            fake = self.G(z).float()
        with self._autocast():
            if self._mixes:
                of_real, of_fake = self.D(real), self.D(fake)
            else:
                of_real, of_fake = self.D(torch.cat([real, fake])).chunk(2)
        of_real, of_fake = of_real.float(), of_fake.float()
        if self._of.gradient_penalty is not None:
            loss = of_fake.mean() - of_real.mean() + self._penalty(real, fake, self._of.gradient_penalty)
        elif self._of.loss == "hinge":
            loss = relu(1 - of_real).mean() + relu(1 + of_fake).mean()
        else:
            loss = softplus(-of_real).mean() + softplus(of_fake).mean()
        self._optimizer_D.zero_grad(set_to_none=True)
        # Asked for nothing else, it leaves out the gradient at the penalty's points: a sixteenth of the work of an MLP.
        loss.backward(inputs=self._of_D)
        self._optimizer_D.step()

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()

    def _drawn(self) -> Tensor:
        index = torch.randint(len(self._images), (self._of.batch,), device=self._device)
        return _floats(self._images[index])


class Ours:
    """gancore as it comes: numbers for the log, gradient health every 50 steps."""

    def __init__(self, workload: Workload, run: Any) -> None:
        self.run = run

    def advance(self, steps: int) -> None:
        """Everything that training does but callbacks."""
        run = self.run
        end = run.step + steps
        while run.step < end:
            run.advance(min(end, run._next_stop()) - run.step)
            run._observe()

    def losses(self, reals: Iterable[Tensor], latents: Iterable[Tensor], steps: int) -> list[float]:
        """On its own reals and latents, which are the same in every run of a workload."""
        found = []
        for _ in range(steps):
            self.run.numbers.fetch()
            self.run.advance(1)
            found.append(self.run.numbers.fetch()["loss/generator"])
        return found


def _floats(images: Tensor) -> Tensor:
    return images.float().div_(127.5).sub_(1)
