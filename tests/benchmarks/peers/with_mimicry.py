"""torch-mimicry: networks that train themselves, `train_step` by `train_step`, in a trainer that logs what they return.

Its import asks for `torch._six`, which torch no longer has, for TensorFlow (Inception scores) and for scikit-image, all
for its datasets, metrics and tests. Training touches none of it, so these stand empty during the import.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tests.benchmarks.peers.held import ENDLESS, Held
from tests.benchmarks.peers.peer import Peer


@contextmanager
def _empty(modules: dict[str, list[str]]) -> Iterator[None]:
    """Modules that can be imported, with attributes of which nothing is asked; until the end."""
    for name, attributes in modules.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(dict.fromkeys(attributes))
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


with _empty({"torch_mimicry.datasets": [], "torch_mimicry.metrics": [], "skimage": ["io"]}):
    from torch_mimicry.nets.gan.gan import BaseDiscriminator, BaseGenerator
    from torch_mimicry.nets.wgan_gp.wgan_gp_base import WGANGPBaseDiscriminator
    from torch_mimicry.training import trainer as training

LOSSES = {"nonsaturating": "gan", "wgan-gp": "wasserstein", "hinge": "hinge"}
"""Its names. "gan" is the default of its DCGAN: despite the name -log D(G(z)) for G, on logits."""


class Mimicry(Peer):
    """A step is n_dis of D's `train_step`, then G's. It has no averaged generator: G keeps one in its `train_step`."""

    name = "mimicry"
    labelled = True

    def train(self, batches: Held) -> None:
        weight, loss = self.workload.gradient_penalty, LOSSES[self.workload.loss]
        self._generator = G(self.G, self.latent_dim, loss, self.average())
        discriminator = D(self.D, loss) if weight is None else WganGpD(self.D, weight)
        self._folder = TemporaryDirectory()
        training.print = _silently  # that it starts
        training.Trainer(
            netD=discriminator,
            netG=self._generator,
            optD=self.optimizer(discriminator),
            optG=self.optimizer(self._generator),
            n_dis=self.workload.n_critic,
            dataloader=batches,
            log_dir=self._folder.name,
            device=self.device,
            **dict.fromkeys(("num_steps", "print_steps", "vis_steps", "log_steps", "save_steps"), ENDLESS),
        ).train()

    def last_loss(self) -> float:
        return float(self._generator.numbers["errG"]["value"])


class G(BaseGenerator):
    def __init__(self, network: nn.Module, nz: int, loss: str, average: AveragedModel | None) -> None:
        super().__init__(nz=nz, ngf=0, bottom_width=0, loss_type=loss)  # sizes of its own networks
        self.network = network
        self._averages = [average] if average else []  # in a list: not among its parameters
        self.numbers: dict[str, Any] = {}

    def forward(self, z: Tensor) -> Any:
        return self.network(z)

    def train_step(self, **arguments: Any) -> Any:
        log = super().train_step(**arguments)
        self.numbers = log.metrics_dict
        for average in self._averages:
            average.update_parameters(self.network)
        return log


class D(BaseDiscriminator):
    def __init__(self, network: nn.Module, loss: str) -> None:
        super().__init__(ndf=0, loss_type=loss)
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)[:, None]  # as it has scores


class WganGpD(WGANGPBaseDiscriminator):
    def __init__(self, network: nn.Module, weight: float) -> None:
        super().__init__(ndf=0, gp_scale=weight)
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)[:, None]

    def compute_gradient_penalty_loss(self, real_images: Tensor, fake_images: Tensor, gp_scale: float = 10.0) -> Tensor:
        """Its own, for any number of channels: that one takes images of three."""
        share = torch.rand(len(real_images), 1, 1, 1).to(real_images.device)
        between = share * real_images.detach() + ((1 - share) * fake_images.detach())
        between.requires_grad_(True)
        scores = self.forward(between)
        (gradient,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)
        gradient = gradient.view(len(gradient), -1)
        return ((gradient.norm(2, dim=1) - 1) ** 2).mean() * gp_scale


def _silently(*_: Any) -> None:
    pass
