"""A small game and a small run of real engine parts around one component."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import TensorDataset

from gancore.contracts import ROLES, Context, DataSpec, Loss, NetworkBuilt, Role
from gancore.errors import ComponentError
from gancore.testing.materials import IMAGE, LATENT, SPECS, SmoothDiscriminator, SmoothGenerator, draw, roles_of
from gancore.training.ema import Ema
from gancore.training.feed import open_feed
from gancore.training.latents import Latents
from gancore.training.observers import Observers
from gancore.training.phases import Game
from gancore.training.player import Player, Regularizer
from gancore.training.precision import Precision
from gancore.training.ranks import ALONE, Ranks
from gancore.training.run import Run
from gancore.training.streams import GlobalStreams, stream

BATCH = 64
RATE = 0.05
CPU = torch.device("cpu")
SMOOTH: Mapping[Role, Callable[[], nn.Module]] = {
    "generator": SmoothGenerator,
    "discriminator": SmoothDiscriminator,
}


class _PlainLoss:
    """A plain loss, for checks of what is not one."""

    needs_real: ClassVar[bool] = False
    boundary: ClassVar[Literal["zero", "none"]] = "zero"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return nn.functional.softplus(-fake).mean()


def small_game(
    *,
    model: Any = None,
    spec: DataSpec | None = None,
    loss: Loss | None = None,
    regularizer: tuple[Callable[[], Any], torch.Generator] | None = None,
    ranks: Ranks = ALONE,
    steps: int = 10,
) -> Game:
    """A game of small smooth networks with SGD on random data, the same every time.

    Args:
        model: to use instead of the small networks, for data as `spec` says.
        regularizer: makes an instance for each network, and its random stream.
    """
    spec = spec or DataSpec(IMAGE)
    players = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for role in ROLES:
            network: nn.Module = getattr(model, role)(spec) if model else SMOOTH[role]()
            regularizers = []
            if regularizer is not None:
                instance = regularizer[0]()
                if role in roles_of(instance):
                    context = Context(regularizer[1], torch.zeros(()), steps)
                    regularizers = [Regularizer("checked", instance, context)]
                    if isinstance(instance, NetworkBuilt):
                        network = instance.network_built(network)
            optimizer = SGD([p for p in network.parameters() if p.requires_grad], lr=RATE)
            players[role] = Player(role, network, optimizer, LambdaLR(optimizer, lambda _: 1.0), tuple(regularizers))
    latent_dim = model.latent_dim if model else LATENT
    return Game(
        generator=players["generator"],
        discriminator=players["discriminator"],
        loss=loss or _PlainLoss(),
        feed=open_feed(_data(spec), spec, batch_size=BATCH, seed=0, device=CPU, workers=0, ranks=ranks),
        latents=Latents(latent_dim, spec.classes, CPU, stream(0, "latents", CPU), ranks),
        precision=Precision("fp32", CPU),
        batch_size=BATCH,
        ranks=ranks,
    )


def small_run(callbacks: Mapping[str, Any], folder: Path, steps: int, spec: DataSpec | None = None) -> Run:
    """A run of a small game that writes into `folder`."""
    game = small_game(steps=steps, spec=spec)
    return Run(
        name="small",
        game=game,
        ema=Ema(game.generator.network, 0.0, 1.0, BATCH),
        data=spec or DataSpec(IMAGE),
        steps=steps,
        n_critic=1,
        seed=0,
        log_every=1,
        clock=torch.zeros(()),
        globals=GlobalStreams(0, CPU),
        observers=Observers(callbacks),
        text='name = "small"\n',
        settings={"train.steps": steps},
        make_folder=lambda: folder,
    )


def spec_for(model: Any) -> DataSpec:
    """The first of the kit's kinds of data that a model makes."""
    for spec in SPECS:
        try:
            with torch.device("meta"):
                model.generator(spec), model.discriminator(spec)
        except ComponentError:
            continue
        return spec
    raise ComponentError("the model refuses all of the kit's data")


def _data(spec: DataSpec) -> TensorDataset:
    values = draw(2 * BATCH, *spec.shape, seed=2)
    if spec.is_image:
        values = values.tanh().add(1).mul(127.5).to(torch.uint8)
    labels = torch.arange(2 * BATCH) % spec.classes if spec.classes else None
    return TensorDataset(values) if labels is None else TensorDataset(values, labels)
