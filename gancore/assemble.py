"""Experiment + Registry -> Run: builds what was selected and plugs it together.

The order matters and is always the same: data, networks, what regularizers do to networks, optimizers, streams, callbacks.
"""

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from gancore.components import options_of
from gancore.contracts import Context, DataSpec, NetworkBuilt, Penalty, Role
from gancore.errors import ComponentError, ExperimentError, Problem, RunFolderError, UserError
from gancore.experiment import Experiment, Selection, read
from gancore.experiment.read import PROVIDABLE
from gancore.experiment.write import write
from gancore.registry import Registry
from gancore.training.ema import Ema
from gancore.training.feed import Feed, open_feed
from gancore.training.latents import Latents
from gancore.training.phases import Game
from gancore.training.player import Player, Regularizer
from gancore.training.precision import Precision
from gancore.training.run import Run
from gancore.training.streams import GlobalStreams, stream

ROLES: tuple[Role, Role] = ("discriminator", "generator")


def load(file: Path | str, overrides: Iterable[str] = ()) -> "Loaded":
    """Read an experiment file, for scripts and notebooks: `gancore.load("x.toml").assemble().train()`.

    What is missing in the file may be handed to `assemble` as an object.

    Raises:
        ExperimentError: with all problems of the file.
    """
    return Loaded(read(file, Registry.discover(), overrides, provided=PROVIDABLE))


@frozen(eq=False)
class Loaded:
    """An experiment, read and ready to be assembled."""

    experiment: Experiment

    def assemble(
        self,
        *,
        generator: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        data: "Dataset[Any] | None" = None,
        spec: DataSpec | None = None,
        latent_dim: int | None = None,
        out: Path | str | None = None,
    ) -> Run:
        """A run of the experiment.

        Args:
            generator, discriminator: networks to use instead of the file's model; see `gancore.contracts.Model` for their
                signatures.
            data: a torch data set to use instead of the file's, as `gancore.contracts.Dataset.load` returns.
            spec: what `data` look like; by default read off a `TensorDataset`.
            latent_dim: the length of `generator`'s z; by default its attribute `latent_dim`.
            out: the run folder, made when something is first written; by default `runs/<name>-<n>`.

        Raises:
            UserError: something is missing or does not fit.
        """
        objects = Objects(generator, discriminator, data, spec, latent_dim)
        return assemble(self.experiment, objects, partial(make_folder, self.experiment, Path(out) if out else None))


@frozen(eq=False)
class Objects:
    """What a script hands in instead of naming it."""

    generator: nn.Module | None = None
    discriminator: nn.Module | None = None
    data: "Dataset[Any] | None" = None
    spec: DataSpec | None = None
    latent_dim: int | None = None


def assemble(experiment: Experiment, objects: Objects | None = None, make_folder: Any = None) -> Run:
    """Build the run. `make_folder` is called when something is first written."""
    objects = objects or Objects()
    train = experiment.train
    device = choose_device(train.device)
    globals_ = GlobalStreams(train.seed, device)
    spec, feed = _feed(experiment, objects, device)
    blueprint = blueprint_of(experiment, spec, objects)
    blueprint.verify()
    clock = torch.zeros((), device=device)
    steps = plan_steps(experiment, len(_data_of(experiment, objects)) if train.epochs else 0)
    with globals_(), device:
        built = {role: blueprint.build(role) for role in ROLES}
    players = {}
    for role in ROLES:
        regularizers = tuple(
            Regularizer(key, component, Context(stream(train.seed, f"{role}/{key}", device), clock, steps))
            for key, component in built[role].regularizers
        )
        players[role] = _player(experiment, role, built[role].network.to(device), regularizers, steps)
    latents = Latents(
        blueprint.latent_dim, spec.classes if blueprint.labelled else 0, device, stream(train.seed, "latents", device)
    )
    generator = players["generator"].network.train()
    players["discriminator"].network.train()
    return Run(
        name=experiment.name,
        game=Game(
            players["generator"], players["discriminator"], experiment.loss.create(), feed, latents,
            Precision(train.precision, device), train.batch_size,
        ),
        ema=Ema(generator, train.ema, train.ema_ramp, train.batch_size),
        data=spec,
        steps=steps,
        n_critic=train.n_critic,
        seed=train.seed,
        log_every=experiment.log.every,
        clock=clock,
        globals=globals_,
        # Checkpoints come last: what the others did at a step belongs into it.
        callbacks=_keyed((*experiment.callbacks, experiment.checkpoint)),
        metrics=_keyed(experiment.metrics),
        text=write(experiment),
        settings=flat_settings(experiment),
        make_folder=make_folder,
    )  # fmt: skip


def make_folder(experiment: Experiment, out: Path | None) -> Path:
    """Make the run folder and write the resolved experiment into it.

    Args:
        out: the folder, which must not hold anything yet; None for the next free `runs/<name>-<n>`.

    Raises:
        RunFolderError: it holds something, or cannot be made.
    """
    try:
        folder = _next_free(experiment.name) if out is None else out
        folder.mkdir(parents=True, exist_ok=out is not None)
        if any(folder.iterdir()):
            raise RunFolderError("is not empty; choose another --out, or go on with `gancore resume`", folder)
        (folder / "experiment.toml").write_text(write(experiment), "utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot be made: {error.strerror or error}", Path(out or "runs")) from error
    return folder


def _next_free(name: str) -> Path:
    root = Path("runs")
    numbers = [int(n) for path in root.glob(f"{name}-*") if (n := path.name.removeprefix(f"{name}-")).isdecimal()]
    return root / f"{name}-{max(numbers, default=0) + 1}"


# ------------------------------------------------------------------------------------------------------------------- parts


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
    count = torch.cuda.device_count()
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f'train.device: expected "auto", "cpu", "cuda" or "cuda:N", got "{wanted}"')
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UserError(f'train.device: "{wanted}" is not there; torch sees {count} CUDA devices. "auto" takes what there is')
    return device


def plan_steps(experiment: Experiment, samples: int) -> int:
    """Steps of the whole run. An epoch is one pass of D over the data, without a last, smaller batch."""
    train = experiment.train
    if train.steps is not None:
        return train.steps
    assert train.epochs is not None
    return max(1, round(train.epochs * (samples // train.batch_size) / train.n_critic))


@frozen(eq=False)
class Built:
    network: nn.Module
    regularizers: tuple[tuple[str, Any], ...]


@frozen(eq=False)
class Blueprint:
    """How to build the two networks, on whatever device is current."""

    spec: DataSpec
    models: dict[Role, Any]
    regularizers: dict[Role, tuple[tuple[str, Selection], ...]]
    latent_dim: int
    labelled: bool
    where: dict[Role, str]

    def build(self, role: Role) -> Built:
        """The network with everything that regularizers do to it, and those regularizers."""
        model = self.models[role]
        network = model if isinstance(model, nn.Module) else getattr(model, role)(self.spec)
        if not isinstance(network, nn.Module):
            raise ComponentError(f"{self.where[role]}: {role}() returned {type(network).__name__}, not a torch.nn.Module")
        regularizers = tuple((key, selection.create()) for key, selection in self.regularizers[role])
        for _, component in regularizers:
            if isinstance(component, NetworkBuilt):
                network = component.network_built(network)
        return Built(network, regularizers)

    @torch.no_grad()
    def verify(self) -> dict[Role, nn.Module]:
        """Build both networks without memory (on the meta device) and check that they fit the data and each other.

        Raises:
            ComponentError: a shape is not what the contract says.
        """
        found: dict[Role, nn.Module] = {}
        if any(isinstance(model, nn.Module) for model in self.models.values()):
            return found  # objects handed in live on a real device; their first step will tell
        with torch.device("meta"):
            networks = {role: self.build(role).network for role in ROLES}
            z = torch.empty(4, self.latent_dim)
            y = torch.zeros(4, dtype=torch.int64) if self.labelled else None
            fake = networks["generator"](z, y)
            if tuple(fake.shape) != (4, *self.spec.shape):
                raise ComponentError(
                    f"{self.where['generator']}: the generator makes {tuple(fake.shape[1:])}, the data are {self.spec.shape}"
                )
            score = networks["discriminator"](torch.empty(4, *self.spec.shape), y)
            if tuple(score.shape) != (4,):
                raise ComponentError(
                    f"{self.where['discriminator']}: the discriminator gives scores of shape {tuple(score.shape)} for 4 samples; "
                    "expected (4,)"
                )
        return networks


def blueprint_of(experiment: Experiment, spec: DataSpec, objects: Objects) -> Blueprint:
    models: dict[Role, Any] = {}
    where: dict[Role, str] = {}
    missing = []
    for role in ROLES:
        selection: Selection | None = getattr(experiment, role)
        given = getattr(objects, role)
        if given is None and selection is None:
            missing.append(Problem(1, 1, "", f"missing table [{role}] (or hand {role}=... to assemble)", experiment.source))
            continue
        models[role] = given if given is not None else selection.create()  # type: ignore[union-attr]
        where[role] = type(given).__name__ if given is not None else f"model {selection.name!r}"  # type: ignore[union-attr]
    if missing:
        raise ExperimentError(missing)
    latent_dim = objects.latent_dim or getattr(models["generator"], "latent_dim", None)
    if not isinstance(latent_dim, int):
        raise UserError("the generator has no attribute latent_dim; hand latent_dim=... to assemble")
    regularizers: dict[Role, list[tuple[str, Selection]]] = {role: [] for role in ROLES}
    for selection in experiment.regularizers:
        on = selection.create().on
        for role in ROLES:
            if on in (role, "both"):
                taken = [key for key, _ in regularizers[role]]
                regularizers[role].append((_unique(selection.name, taken), selection))
    return Blueprint(
        spec, models, {role: tuple(found) for role, found in regularizers.items()}, latent_dim, spec.classes > 0, where
    )


def _player(
    experiment: Experiment, role: Role, network: nn.Module, regularizers: Sequence[Regularizer], steps: int
) -> Player:
    every = [r.component.every for r in regularizers if isinstance(r.component, Penalty) and r.component.every > 1]
    lazy = min(every) / (min(every) + 1) if every else 1.0
    component = getattr(experiment, f"optimizer_{role}").create()
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trainable:
        raise ComponentError(f"the {role} has no parameter to train")
    optimizer = component.build(trainable, lazy)
    return Player(role, network, optimizer, component.schedule(optimizer, steps), tuple(regularizers))


def _data_of(experiment: Experiment, objects: Objects) -> "Dataset[Any]":
    if objects.data is not None:
        return objects.data
    if experiment.data is None:
        raise ExperimentError(
            [Problem(1, 1, "", "missing table [data] (or hand data=... to assemble)", experiment.source)]
        )
    return experiment.data.create().load()  # type: ignore[no-any-return]


def _feed(experiment: Experiment, objects: Objects, device: torch.device) -> tuple[DataSpec, Feed]:
    data = _data_of(experiment, objects)
    if objects.data is None:
        assert experiment.data is not None
        spec = experiment.data.create().spec()
    else:
        spec = objects.spec or _spec_of(data)
    train = experiment.train
    feed = open_feed(
        data, spec, batch_size=train.batch_size, seed=train.seed, device=device, workers=train.workers
    )
    return spec, feed


def _spec_of(data: "Dataset[Any]") -> DataSpec:
    """Read off tensors that were handed in without a spec."""
    if not isinstance(data, TensorDataset):
        raise UserError("cannot tell what the data look like; hand spec=gancore.DataSpec(...) to assemble")
    values, *labels = data.tensors
    classes = int(labels[0].max()) + 1 if labels else 0
    return DataSpec(tuple(values.shape[1:]), classes, (-1.0, 1.0) if values.dtype == torch.uint8 else None)


def flat_settings(experiment: Experiment) -> dict[str, str | int | float | bool]:
    """All options as one flat table, e.g. for TensorBoard's hparams: `loss`, `loss.weight`, `train.batch_size`."""
    flat: dict[str, Any] = {}
    for table in ("train", "log"):
        settings = getattr(experiment, table)
        flat |= {f"{table}.{field.name}": getattr(settings, field.name) for field in options_of(type(settings))}
    for selection in experiment.selections:
        if selection.kind in ("callback", "metric"):
            continue
        where = ".".join(map(str, selection.path))
        flat[where] = selection.name
        flat |= {f"{where}.{name}": value for name, value in selection.options.items()}
    return {key: value if isinstance(value, str | int | float | bool) else str(value) for key, value in flat.items() if value is not None}


def _keyed(selections: Iterable[Selection]) -> dict[str, Any]:
    keyed: dict[str, Any] = {}
    for selection in selections:
        keyed[_unique(selection.name, keyed)] = selection.create()
    return keyed


def _unique(name: str, taken: Iterable[str]) -> str:
    """`name`, or `name-2` if there is one already: the same component may be used twice."""
    taken = set(taken)
    key, n = name, 1
    while key in taken:
        n += 1
        key = f"{name}-{n}"
    return key
