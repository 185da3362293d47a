"""What is trained in the benchmark of training speed: the same networks, data and mathematics for every candidate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.utils.data import TensorDataset

import gancore

TRAIN = """
callback = []
[train]
steps = 1000000
batch_size = {batch}
n_critic = {n_critic}
device = "{device}"
precision = "{precision}"
ema = 0.0
"""
MLP = """
[model]
name = "mlp"
latent_dim = 64
hidden = [256, 256]
"""
DCGAN = """
[model]
name = "dcgan"
latent_dim = 100
width = {width}
"""
ADAM = """
[optimizer]
name = "adam"
lr = 2e-4
beta1 = 0.5
"""


@frozen
class Workload:
    """
    Attributes:
        shape: of an image.
        model: the table of the model, as TOML.
        block: steps between two readings of the clock.
        gradient_penalty: weight of WGAN-GP's penalty; None for the non-saturating loss.
    """

    name: str
    shape: tuple[int, int, int]
    model: str
    batch: int = 64
    n_critic: int = 1
    gradient_penalty: float | None = None
    block: int = 20

    def data(self) -> Tensor:
        """uint8 noise: what it shows does not matter to the clock."""
        rng = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (max(4 * self.batch, 512), *self.shape), dtype=torch.uint8, generator=rng)

    def run(self, folder: Path, device: str = "cpu", precision: str = "fp32", *settings: str) -> Any:
        """gancore's run of it."""
        loss = "nonsaturating" if self.gradient_penalty is None else "wgan-gp"
        file = folder / "workload.toml"
        engine = TRAIN.format(batch=self.batch, n_critic=self.n_critic, device=device, precision=precision)
        file.write_text(f'{engine}{self.model}[loss]\nname = "{loss}"\n{ADAM}')
        return gancore.load(file, settings).assemble(data=TensorDataset(self.data()))


WORKLOADS = (
    Workload("MLP 28x28, batch 64", (1, 28, 28), MLP),
    Workload("MLP WGAN-GP 28x28, batch 64, n_critic 5", (1, 28, 28), MLP, n_critic=5, gradient_penalty=10.0, block=6),
    Workload("DCGAN 32x32, batch 64", (3, 32, 32), DCGAN.format(width=32), block=3),
    Workload("DCGAN 64x64, batch 128", (3, 64, 64), DCGAN.format(width=32), batch=128, block=1),
)

Draw = Callable[[], Tensor]
