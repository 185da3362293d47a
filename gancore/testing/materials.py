"""Small things to try components on: networks that are smooth and mix no samples, batches, phases, contexts, vitals."""

from typing import Any

import torch
from torch import Tensor, nn

from gancore.contracts import ROLES, Context, DataSpec, Facts, Phase, Role, Vitals

BATCH = 6
LATENT = 3
IMAGE = (1, 8, 8)
SPECS = (
    DataSpec((1, 16, 16), classes=5),
    DataSpec((3, 32, 32), classes=5),
    DataSpec((1, 8, 8), classes=5),
    DataSpec((2,), classes=5, range=None),
)
# A game as text books have it: D is ahead, G follows, nothing vanishes or grows on its way.
HEALTHY = {
    "A": 0.6,
    "discriminator/A": 0.4,
    "B": 0.5,
    "C": 1.0,
    "gradient/generator": 0.3,  # A B C
    "gradient/discriminator": 0.5,
    "rho/generator": 0.7,
    "rho/discriminator": 0.8,
    "update/generator": 1e-3,
    "update/discriminator": 1e-3,
    "auc": 0.75,
    "gap": 1.0,
    "auc/held-out": 0.73,
    "auc/seen": 0.75,
    "diversity": 0.95,
    "diversity/features": 0.9,
    "duplicates": 0.0,
    "slope": 1.0,
    "penalty/generator": 0.2,
    "penalty/discriminator": 0.2,
}
HEALTHY_LAYERS = {"layers.0": 0.7, "layers.2": 0.8, "layers.4": 1.0}  # rms of the signal


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


def healthy_vitals(step: int) -> Vitals:
    """A probe of a healthy game; every number goes up and down by 2 %."""
    sway = 1 + 0.02 * (-1) ** step
    layers = {name: {"gradient": gradient * sway, "dead": 0.0} for name, gradient in HEALTHY_LAYERS.items()}
    return Vitals(step, {name: value * sway for name, value in HEALTHY.items()}, dict.fromkeys(ROLES, layers))


def vitals_of(value: float, step: int) -> Vitals:
    """A probe in which every number has one value; shares of units have what of it a share can have."""
    dead = min(max(value, 0.0), 1.0) if value == value else 0.0
    layers = {name: {"gradient": value, "dead": dead} for name in HEALTHY_LAYERS}
    return Vitals(step, dict.fromkeys(HEALTHY, value), dict.fromkeys(ROLES, layers))


def healthy_facts(steps: int) -> Facts:
    """Facts of an experiment that has nothing wrong with it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks: dict[Role, nn.Module] = {"generator": SmoothGenerator(), "discriminator": SmoothDiscriminator()}
    ends: dict[Role, nn.Module] = {"discriminator": list(networks["discriminator"].modules())[-1]}  # G's is a function
    model = {"name": "smooth", "activation": "leaky-relu", "init": "he", "norm": "none"}
    tables: dict[str, Any] = {
        "train": {"steps": steps, "batch_size": 64, "n_critic": 1},
        "loss": {"name": "nonsaturating"},
        "data": {"name": "digits"},
        "optimizer": {role: {"name": "adam", "lr": 1e-4, "beta1": 0.0, "beta2": 0.99} for role in ROLES},
        "regularizer": {"r1": {"name": "r1", "on": "discriminator", "gamma": 1.0, "every": 1}},
        "model_table": dict.fromkeys(ROLES, "model"),
        **dict.fromkeys(ROLES, model),
    }
    return Facts(tables=tables, steps=steps, boundary="zero", data=DataSpec(IMAGE), ends=ends, **networks)  # type: ignore[arg-type]


def roles_of(component: Any) -> tuple[Role, ...]:
    """The networks a regularizer is for, as it stands."""
    return ("discriminator", "generator") if component.on == "both" else (component.on,)
