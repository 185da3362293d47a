"""Experiment + Registry -> Run.

blueprint   which networks, and what regularizers do to them
build       data, networks, optimizers, streams and callbacks, plugged together
folder      the run folder
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from torch import nn
from torch.utils.data import Dataset

from gancore.assemble.blueprint import Objects, blueprint_of
from gancore.assemble.build import assemble
from gancore.assemble.folder import make_folder
from gancore.contracts import DataSpec
from gancore.experiment import Experiment, read
from gancore.experiment.tables import PROVIDABLE
from gancore.registry import Registry
from gancore.training.run import Run

__all__ = ["Loaded", "Objects", "assemble", "blueprint_of", "load", "make_folder"]


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
            generator, discriminator: networks to use instead of the file's model; see `gancore.contracts.Model` for
                their signatures.
            data: a torch data set to use instead of the file's, as `gancore.contracts.Dataset.load` returns.
            spec: what `data` look like; by default read off a `TensorDataset`.
            latent_dim: the length of `generator`'s z; by default its attribute `latent_dim`.
            out: the run folder, made when something is first written; by default `runs/<name>-<n>`.

        Raises:
            UserError: something is missing or does not fit.
        """
        objects = Objects(generator, discriminator, data, spec, latent_dim)
        # What was handed in takes the place of the file's table, also in what is recorded: nobody is to resume such a
        # run with other networks or data.
        named: dict[str, Any] = {name: None for name in PROVIDABLE if getattr(objects, name) is not None}
        experiment = evolve(self.experiment, **named)
        return assemble(experiment, objects, partial(make_folder, experiment, Path(out) if out else None))
