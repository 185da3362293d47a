"""What is trained in the benchmark of training speed: the same networks, data and mathematics for every candidate."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import gancore
from tests.benchmarks import resnet

# No callbacks and no checkpoints: what they cost is set by how often one wants them.
ENGINE = """
callback = []
[checkpoint]
every = 1000000000
[train]
steps = 1000000000
batch_size = {batch}
n_critic = {n_critic}
device = "{device}"
precision = "{precision}"
ema = {ema}
[optimizer]
name = "adam"
lr = {lr}
beta1 = {betas[0]}
beta2 = {betas[1]}
[loss]
name = "{loss}"
"""
MLP = """
[model]
name = "mlp"
latent_dim = {latent_dim}
hidden = {hidden}
"""
DCGAN = """
[model]
name = "dcgan"
latent_dim = 100
width = {width}
"""


@frozen
class Workload:
    """
    Attributes:
        shape: of an image.
        model: the table of the model, as TOML; empty where `networks` makes what is handed in.
        n_critic: D updates per G update.
        gradient_penalty: weight of WGAN-GP's penalty; None for other losses.
        betas: of Adam.
        ema: half-life of the averaged generator, in images; 0 for none.
        classes: of the labels that come with the images; no network here uses them.
        networks: makes G and D, the same every time.
    """

    name: str
    shape: tuple[int, int, int]
    model: str = ""
    batch: int = 64
    n_critic: int = 1
    loss: Literal["nonsaturating", "wgan-gp", "hinge"] = "nonsaturating"
    gradient_penalty: float | None = None
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    ema: float = 0.0
    samples: int = 512
    classes: int = 0
    networks: Callable[[], tuple[nn.Module, nn.Module]] | None = None

    def data(self) -> Tensor:
        """uint8 noise `(samples, *shape)`: what it shows does not matter to the clock."""
        rng = torch.Generator().manual_seed(0)
        size = max(4 * self.batch, self.samples)
        return torch.randint(0, 256, (size, *self.shape), dtype=torch.uint8, generator=rng)

    def run(self, folder: Path, device: str = "cpu", precision: str = "fp32", *settings: str) -> Any:
        """gancore's run of it: with the same weights every time."""
        file = folder / "workload.toml"
        engine = ENGINE.format(
            batch=self.batch, n_critic=self.n_critic, device=device, precision=precision, ema=self.ema,
            lr=self.lr, betas=self.betas, loss=self.loss,
        )  # fmt: skip
        weight = "" if self.gradient_penalty is None else f"weight = {self.gradient_penalty}\n"
        file.write_text(f"{engine}{weight}{self.model}")
        images = self.data()
        labels = (torch.arange(len(images)) % self.classes,) if self.classes else ()
        G, D = self.networks() if self.networks else (None, None)
        return gancore.load(file, settings).assemble(
            data=TensorDataset(images, *labels), generator=G, discriminator=D, out=folder / "run"
        )


def sngan(width: int, n_critic: int) -> Workload:
    """The ResNet of SNGAN; width 256 and n_critic 5 in the paper."""
    return Workload(
        f"SNGAN ResNet 32x32, width {width}, batch 64, n_critic {n_critic}",
        (3, 32, 32),
        n_critic=n_critic,
        loss="hinge",
        betas=(0.0, 0.9),
        networks=partial(resnet.networks, width),
    )


def workloads(*, paper: bool) -> tuple[Workload, ...]:
    """All of them.

    Args:
        paper: the ResNet in the size of its paper; otherwise a quarter as wide and with one D update: two billion
            operations a sample are nothing for one core.
    """
    mlp = partial(MLP.format, hidden=[256, 256])
    return (
        # The mathematics of examples/digits.toml: so small that the host is what takes time.
        Workload(
            "digits MLP 8x8, WGAN-GP, batch 64, n_critic 3",
            (1, 8, 8),
            MLP.format(hidden=[64, 64], latent_dim=32),
            n_critic=3,
            loss="wgan-gp",
            gradient_penalty=10.0,
            lr=4e-3,
            betas=(0.0, 0.9),
            ema=10_000.0,
            samples=1797,
            classes=10,
        ),
        Workload("MLP 28x28, batch 64", (1, 28, 28), mlp(latent_dim=64)),
        Workload(
            "MLP 28x28, WGAN-GP, batch 64, n_critic 5",
            (1, 28, 28),
            mlp(latent_dim=64),
            n_critic=5,
            loss="wgan-gp",
            gradient_penalty=10.0,
        ),
        Workload("DCGAN 32x32, batch 64", (3, 32, 32), DCGAN.format(width=32)),
        Workload("DCGAN 64x64, batch 128", (3, 64, 64), DCGAN.format(width=32), batch=128),
        sngan(256, 5) if paper else sngan(64, 1),
    )
