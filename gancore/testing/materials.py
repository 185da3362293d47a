"""Small things to try components on: networks that are smooth and mix no samples, batches, phases, contexts."""

from typing import Any

import torch
from torch import Tensor, nn

from gancore.contracts import Context, DataSpec, Phase, Role

BATCH = 6
LATENT = 3
IMAGE = (1, 8, 8)
SPECS = (
    DataSpec((1, 16, 16), classes=5),
    DataSpec((3, 32, 32), classes=5),
    DataSpec((1, 8, 8), classes=5),
    DataSpec((2,), classes=5, range=None),
)


class SmoothDiscriminator(nn.Module):
    """x (N, *shape) -> score (N,): two tanh layers, so that every derivative exists."""

    def __init__(self, shape: tuple[int, ...] = IMAGE, **factory: Any) -> None:
        super().__init__()
        size = int(torch.Size(shape).numel())
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(size, 8, **factory), nn.Tanh(), nn.Linear(8, 1, **factory))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        score: Tensor = self.layers(x)
        return score.squeeze(1)


class SmoothGenerator(nn.Module):
    """z (N, LATENT) -> (N, *shape) in (-1, 1)."""

    def __init__(self, shape: tuple[int, ...] = IMAGE, **factory: Any) -> None:
        super().__init__()
        self.shape = shape
        self.layer = nn.Linear(LATENT, int(torch.Size(shape).numel()), **factory)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        made: Tensor = torch.tanh(self.layer(z))
        return made.reshape(-1, *self.shape)


def draw(*shape: int, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers, the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), device=device, dtype=dtype)


def context(seed: int = 0, device: str = "cpu") -> Context:
    return Context(torch.Generator().manual_seed(seed), torch.full((), 3.0, device=device), 10)


def phase(
    role: Role, *, device: str = "cpu", dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = IMAGE
) -> Phase:
    """A phase as the engine would hand it over: fakes with history in G's phase only, reals always."""
    factory: dict[str, Any] = {"device": device, "dtype": dtype}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        G, D = SmoothGenerator(shape, **factory), SmoothDiscriminator(shape, **factory)
    z = draw(BATCH, LATENT, **factory)
    fake = G(z) if role == "generator" else G(z).detach()
    real = draw(BATCH, *shape, seed=1, **factory).tanh()
    return Phase(
        role=role, generator=G, discriminator=D, z=z, fake=fake, fake_score=D(fake), real=real, real_score=D(real)
    )


def roles_of(component: Any) -> tuple[Role, ...]:
    """The networks a regularizer is for, as it stands."""
    return ("discriminator", "generator") if component.on == "both" else (component.on,)
