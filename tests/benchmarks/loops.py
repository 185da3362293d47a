"""The loops that users write themselves, on the networks of a gancore run and with the same mathematics.

`example` is written as the well-known example of DCGAN in PyTorch is: a DataLoader of float images, a sigmoid and
`BCELoss`, one backward for reals and one for fakes, `.item()` on every number, every step. `lean` is the best that one
would write by hand, eagerly: resident uint8 images, logits, one backward a phase, no waiting.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

from tests.benchmarks.workloads import Workload

Losses = tuple[Tensor, Tensor]
"""Of D (in its last phase) and of G."""


class Example:
    """As in the example, down to its habits."""

    def __init__(self, workload: Workload, run: Any) -> None:
        self._of = workload
        self.G, self.D = run.game.generator.network, run.game.discriminator.network
        self._device, self._latent_dim = run.device, run.game.latents.dim
        self._optimizer_D, self._optimizer_G = (_adam(network) for network in (self.D, self.G))
        self._loader = DataLoader(
            TensorDataset(_floats(workload.data())), batch_size=workload.batch, shuffle=True, drop_last=True
        )
        self._batches = self._forever()
        self._criterion = nn.BCELoss()

    def step(self, reals: "Iterator[Tensor] | None" = None, latents: "Iterator[Tensor] | None" = None) -> Losses:
        """One step; in a check of parity with the given reals and latents."""
        n, device = self._of.batch, self._device
        for _ in range(self._of.n_critic):
            self.D.zero_grad()
            real = (next(reals) if reals else next(self._batches)).to(device)
            z = next(latents) if latents else torch.randn(n, self._latent_dim, device=device)
            if self._of.gradient_penalty is None:
                label = torch.full((n,), 1.0, dtype=torch.float, device=device)
                output = torch.sigmoid(self.D(real)).view(-1)
                error_real = self._criterion(output, label)
                error_real.backward()
                output.mean().item()
                fake = self.G(z)
                label.fill_(0.0)
                output = torch.sigmoid(self.D(fake.detach())).view(-1)
                error_fake = self._criterion(output, label)
                error_fake.backward()
                output.mean().item()
                error_D = error_real + error_fake
            else:
                fake = self.G(z).detach()
                error_D = self.D(fake).mean() - self.D(real).mean()
                error_D.backward()
                penalty = _penalty(self.D, real, fake, self._of.gradient_penalty)
                penalty.backward()
            error_D.item()
            self._optimizer_D.step()
        self.G.zero_grad()
        z = next(latents) if latents else torch.randn(n, self._latent_dim, device=device)
        score = self.D(self.G(z))
        if self._of.gradient_penalty is None:
            output = torch.sigmoid(score).view(-1)
            error_G = self._criterion(output, torch.full((n,), 1.0, dtype=torch.float, device=device))
        else:
            error_G = -score.mean()
        error_G.backward()
        error_G.item()
        self._optimizer_G.step()
        return error_D.detach(), error_G.detach()

    def _forever(self) -> Iterator[Tensor]:
        while True:
            for (batch,) in self._loader:
                yield batch


class Lean:
    """By hand, and well."""

    def __init__(self, workload: Workload, run: Any) -> None:
        self._of = workload
        self.G, self.D = run.game.generator.network, run.game.discriminator.network
        self._device, self._latent_dim = run.device, run.game.latents.dim
        self._optimizer_D, self._optimizer_G = (_adam(network) for network in (self.D, self.G))
        self._images = workload.data().to(run.device)
        self._of_D = list(self.D.parameters())

    def step(self, reals: "Iterator[Tensor] | None" = None, latents: "Iterator[Tensor] | None" = None) -> Losses:
        n, device = self._of.batch, self._device
        for _ in range(self._of.n_critic):
            real = next(reals) if reals else self._drawn()
            z = next(latents) if latents else torch.randn(n, self._latent_dim, device=device)
            with torch.no_grad():
                fake = self.G(z)
            real_score, fake_score = self.D(real), self.D(fake)
            if self._of.gradient_penalty is None:
                loss_D = total = softplus(-real_score).mean() + softplus(fake_score).mean()
            else:
                loss_D = fake_score.mean() - real_score.mean()
                total = loss_D + _penalty(self.D, real, fake, self._of.gradient_penalty)
            self._optimizer_D.zero_grad(set_to_none=True)
            total.backward()
            self._optimizer_D.step()
        z = next(latents) if latents else torch.randn(n, self._latent_dim, device=device)
        for parameter in self._of_D:
            parameter.requires_grad_(False)
        score = self.D(self.G(z))
        loss_G = softplus(-score).mean() if self._of.gradient_penalty is None else -score.mean()
        self._optimizer_G.zero_grad(set_to_none=True)
        loss_G.backward()
        self._optimizer_G.step()
        for parameter in self._of_D:
            parameter.requires_grad_(True)
        return loss_D.detach(), loss_G.detach()

    def _drawn(self) -> Tensor:
        index = torch.randint(len(self._images), (self._of.batch,), device=self._device)
        return _floats(self._images[index])


class Ours:
    """gancore as it comes: numbers for the log, gradient health every 50 steps."""

    def __init__(self, workload: Workload, run: Any) -> None:
        self.run = run
        self._settled = run.step

    def advance(self, steps: int) -> None:
        """Everything that training does but callbacks."""
        run = self.run
        end = run.step + steps
        while run.step < end:
            run.advance(min(end, run._next_stop()) - run.step)
            run._observe()


def _adam(network: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))


def _floats(images: Tensor) -> Tensor:
    return images.float().div_(127.5).sub_(1)


def _penalty(D: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, weight: float) -> Tensor:
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
    between = torch.lerp(fake, real, share).requires_grad_()
    (gradient,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    slope = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
    return weight * (slope - 1).square().mean()
