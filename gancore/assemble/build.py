"""Builds what was selected and plugs it together.

The order matters and is always the same: data, networks and what regularizers do to them, optimizers, streams,
callbacks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from gancore.assemble.blueprint import Blueprint, Objects, blueprint_of, unique
from gancore.assemble.execution import choose_differentiate, choose_spreads, choose_take, choose_threads
from gancore.assemble.facts import facts_of
from gancore.components import options_of
from gancore.contracts import ROLES, Context, DataSpec, Penalty, Role
from gancore.errors import ComponentError, ExperimentError, Problem, UserError
from gancore.experiment import Experiment, Selection, Train
from gancore.experiment.tables import PROVIDABLE
from gancore.experiment.write import write
from gancore.health.doctor import Doctor
from gancore.health.probe import Probe
from gancore.health.taps import Aims
from gancore.training.checkup import LAG, Checkup
from gancore.training.ema import Ema
from gancore.training.feed import hold_out, open_feed
from gancore.training.latents import Latents
from gancore.training.memory import shortage
from gancore.training.observers import Observers
from gancore.training.phases import Game
from gancore.training.player import Player, Regularizer
from gancore.training.precision import Precision
from gancore.training.ranks import Ranks
from gancore.training.run import Run
from gancore.training.streams import GlobalStreams, stream


def assemble(
    experiment: Experiment, objects: Objects | None = None, make_folder: Callable[[], Path] | None = None
) -> Run:
    """Build the run.

    Args:
        objects: what a script hands in instead of naming it.
        make_folder: makes the run folder; called when something is first written.

    Raises:
        UserError: something is missing, not there, or does not fit.
    """
    objects = objects or Objects()
    _demand_all(experiment, objects)
    train = experiment.train
    device = choose_device(train.device)
    data, spec = _data(experiment, objects)
    blueprint = blueprint_of(experiment, spec, objects)
    blueprint.verify(train.batch_size)
    ranks = Ranks.here()
    own_seed = ranks.seed(train.seed)
    data, held_out = hold_out(data, train.held_out, device, labelled=spec.classes > 0)
    feed = open_feed(
        data,
        spec,
        batch_size=train.batch_size,
        seed=train.seed,
        device=device,
        workers=train.workers,
        ranks=ranks,
        skip_damaged=train.damaged == "skip",
    )
    steps = plan_steps(train, len(data))  # type: ignore[arg-type]  # map-style data sets have a length
    clock = torch.zeros((), device=device)
    globals_ = GlobalStreams(train.seed, device)
    players: dict[Role, Player] = {}
    with _memory_known(experiment, device), globals_(), device:
        for role in ROLES:
            built = blueprint.build(role)
            regularizers = [
                Regularizer(key, component, Context(stream(own_seed, f"{role}/{key}", device), clock, steps))
                for key, component in built.regularizers
            ]
            network = _placed(built.network, device, train).train()
            players[role] = _player(experiment, role, network, regularizers, steps)
    threads = choose_threads(train, blueprint, players.values(), device, ranks)
    observers = (*experiment.callbacks, experiment.checkpoint)
    metrics = experiment.metrics
    if ranks.rank:  # networks start the same everywhere, but dropout differs from here on; and only one observes
        globals_ = GlobalStreams(own_seed, device)
        observers, metrics = (), ()
    return Run(
        name=experiment.name,
        game=Game(
            generator=players["generator"],
            discriminator=players["discriminator"],
            loss=experiment.loss.create(),
            feed=feed,
            latents=Latents(blueprint.latent_dim, spec.classes, device, stream(train.seed, "latents", device), ranks),
            precision=Precision(train.precision, device, train.deterministic),
            batch_size=train.batch_size,
            ranks=ranks,
            one_pass=_one_pass(train, blueprint.models["discriminator"]),
            take=choose_take(train, device, ranks),
            differentiate=choose_differentiate(train, blueprint, players, clock, steps, threads, ranks),
        ),
        ema=Ema(players["generator"].network, train.ema, train.ema_ramp, train.batch_size),
        data=spec,
        steps=steps,
        n_critic=train.n_critic,
        seed=train.seed,
        log_every=experiment.log.every,
        clock=clock,
        globals=globals_,
        threads=threads,
        # Checkpoints come last: what the others did at a step belongs into it.
        observers=Observers(_keyed(observers), train.strict),
        metrics=_keyed(metrics),
        text=write(experiment),
        settings=flat_settings(experiment),
        named=objects.generator is None and objects.discriminator is None,
        make_folder=make_folder,
        checkup=_checkup(experiment, blueprint, players, steps, held_out, device) if experiment.health.probe else None,
    )


@contextmanager
def _memory_known(experiment: Experiment, device: torch.device) -> Iterator[None]:
    """Networks that are too large to be built are said to be, with what to change."""
    try:
        yield
    except (ComponentError, RuntimeError, MemoryError) as error:
        train = experiment.train
        words = shortage(error.__cause__ or error, device, train.batch_size, train.precision)
        if words is None:
            raise
        raise UserError(words) from error


def choose_device(wanted: str) -> torch.device:
    """`auto` is a GPU where there is one.

    Raises:
        UserError: no such device on this machine.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f'train.device: expected "auto", "cpu", "cuda" or "cuda:N", got "{wanted}"')
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UserError(
            f'train.device: "{wanted}" is not there; torch sees {count} CUDA devices. "auto" takes what there is'
        )
    return device


def plan_steps(train: Train, samples: int) -> int:
    """Steps of the whole run. An epoch is one pass of D over the data, without a last, smaller batch."""
    if train.steps is not None:
        return train.steps
    assert train.epochs is not None, "the reader insists on one of the two"
    return max(1, round(train.epochs * (samples // train.batch_size) / train.n_critic))


def flat_settings(experiment: Experiment) -> dict[str, str | int | float | bool]:
    """What was configured as one flat table, for TensorBoard's hparams: `loss`, `loss.weight`, `train.batch_size`."""
    flat: dict[str, Any] = {}
    for table, settings in (("train", experiment.train), ("log", experiment.log), ("health", experiment.health)):
        flat |= {f"{table}.{field.name}": getattr(settings, field.name) for field in options_of(type(settings))}
    for selection in experiment.selections:
        if selection.kind not in ("callback", "metric", "rule"):
            where = ".".join(map(str, selection.path))
            flat[f"{where}.{selection.name}" if selection.brought_by else where] = selection.name
            flat |= {f"{where}.{name}": value for name, value in selection.options.items()}
    simple = (str, int, float, bool)
    return {key: value if isinstance(value, simple) else str(value) for key, value in flat.items() if value is not None}


def _demand_all(experiment: Experiment, objects: Objects) -> None:
    """What a file may leave out has to be handed in."""
    missing = [name for name in PROVIDABLE if getattr(experiment, name) is None and getattr(objects, name) is None]
    if missing:
        raise ExperimentError(
            Problem(1, 1, "", f"missing table [{name}] (or hand {name}=... to assemble)", experiment.source)
            for name in missing
        )


def _data(experiment: Experiment, objects: Objects) -> "tuple[Dataset[Any], DataSpec]":
    if objects.data is not None:
        return objects.data, objects.spec or _spec_of(objects.data)
    assert experiment.data is not None
    component = experiment.data.create()
    return component.load(), component.spec()


def _spec_of(data: "Dataset[Any]") -> DataSpec:
    """Read off tensors that were handed in without a spec."""
    if not isinstance(data, TensorDataset):
        raise UserError("cannot tell what the data look like; hand spec=gancore.DataSpec(...) to assemble")
    values, *labels = data.tensors
    classes = int(labels[0].max()) + 1 if labels and len(values) else 0
    return DataSpec(tuple(values.shape[1:]), classes, (-1.0, 1.0) if values.dtype == torch.uint8 else None)


def _placed(network: nn.Module, device: torch.device, train: Train) -> nn.Module:
    """On the device, in the order in memory that convolutions are fastest with. On a GPU they have kernels for
    channels_last in tf32 and bf16; in fp32 those for the contiguous order are the better ones."""
    wanted = train.memory_format
    convolutional = any(parameter.dim() == 4 for parameter in network.parameters())
    if wanted == "auto" and convolutional and not (device.type == "cuda" and train.precision == "fp32"):
        wanted = "channels_last"
    network.to(device)
    return network.to(memory_format=torch.channels_last) if wanted == "channels_last" else network


def _one_pass(train: Train, discriminator: Any) -> bool:
    """Whether reals and fakes go through D together. A network that a script hands in, and that does not say whether it
    mixes samples, may."""
    if train.one_pass != "auto":
        return train.one_pass == "on"
    return not getattr(discriminator, "mixes_samples", isinstance(discriminator, nn.Module))


def _player(
    experiment: Experiment, role: Role, network: nn.Module, regularizers: Sequence[Regularizer], steps: int
) -> Player:
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trainable:
        raise ComponentError(f"the {role} has no parameter to train")
    component = getattr(experiment, f"optimizer_{role}").create()
    optimizer = component.build(trainable, _lazy(regularizers))
    return Player(role, network, optimizer, component.schedule(optimizer, steps), tuple(regularizers))


def _checkup(
    experiment: Experiment,
    blueprint: Blueprint,
    players: Mapping[Role, Player],
    steps: int,
    held_out: "tuple[Tensor, Tensor | None] | None",
    device: torch.device,
) -> Checkup:
    networks = {role: players[role].network for role in ROLES}
    facts = facts_of(experiment, blueprint, networks, steps)
    health = experiment.health
    return Checkup(
        probe=Probe(Aims(facts.mixes_samples, facts.lipschitz, held_out, choose_spreads(players.values()))),
        doctor=Doctor(
            _keyed(experiment.rules),
            facts,
            warm_up=max(health.warm_up, steps // 100),
        ),
        every=health.every,
        lag=LAG if device.type == "cuda" else 0,
        recorder=health.recorder,
        action=health.action,
    )


def _lazy(regularizers: Iterable[Regularizer]) -> float:
    """c = k/(k+1) of the network's most frequent lazy penalty; 1 without one. See `gancore.contracts.Optimizer`."""
    rhythms = [r.component.every for r in regularizers if isinstance(r.component, Penalty) and r.component.every > 1]
    return min(rhythms) / (min(rhythms) + 1) if rhythms else 1.0


def _keyed(selections: Iterable[Selection]) -> dict[str, Any]:
    keyed: dict[str, Any] = {}
    for selection in selections:
        keyed[unique(selection.name, keyed)] = selection.create()
    return keyed
