"""How to build the two networks of an experiment, on any device: also on `meta`, where they need no memory."""

from collections.abc import Iterable
from typing import Any

import torch
from attrs import frozen
from torch import nn
from torch.utils.data import Dataset

from gancore.contracts import DataSpec, NetworkBuilt, Role
from gancore.errors import ComponentError, GancoreError, UserError
from gancore.experiment import Experiment, Selection

ROLES: tuple[Role, Role] = ("discriminator", "generator")


@frozen(eq=False)
class Objects:
    """What a script hands in instead of naming it."""

    generator: nn.Module | None = None
    discriminator: nn.Module | None = None
    data: "Dataset[Any] | None" = None
    spec: DataSpec | None = None
    latent_dim: int | None = None


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
    where: dict[Role, str]

    def build(self, role: Role) -> Built:
        """The network with everything that regularizers do to it, and those regularizers.

        Raises:
            ComponentError: the model cannot make it, for these data or at all.
        """
        model = self.models[role]
        try:
            network = model if isinstance(model, nn.Module) else getattr(model, role)(self.spec)
        except GancoreError:
            raise
        except Exception as error:
            raise ComponentError(f"{self.where[role]}: {role}() failed: {type(error).__name__}: {error}") from error
        if not isinstance(network, nn.Module):
            raise ComponentError(
                f"{self.where[role]}: {role}() returned {type(network).__name__}, not a torch.nn.Module"
            )
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
            y = torch.zeros(4, dtype=torch.int64) if self.spec.classes else None
            fake = networks["generator"](z, y)
            if tuple(fake.shape) != (4, *self.spec.shape):
                raise ComponentError(
                    f"{self.where['generator']}: the generator makes {tuple(fake.shape[1:])}, "
                    f"the data are {self.spec.shape}"
                )
            score = networks["discriminator"](torch.empty(4, *self.spec.shape), y)
            if tuple(score.shape) != (4,):
                raise ComponentError(
                    f"{self.where['discriminator']}: the discriminator gives scores of shape {tuple(score.shape)} "
                    "for 4 samples; expected (4,)"
                )
        return networks


def blueprint_of(experiment: Experiment, spec: DataSpec, objects: Objects) -> Blueprint:
    models: dict[Role, Any] = {}
    where: dict[Role, str] = {}
    for role in ROLES:
        selection: Selection | None = getattr(experiment, role)
        given = getattr(objects, role)
        models[role] = given if given is not None else selection.create()  # type: ignore[union-attr]
        where[role] = type(given).__name__ if given is not None else f"model {selection.name!r}"  # type: ignore[union-attr]
    latent_dim = objects.latent_dim or getattr(models["generator"], "latent_dim", None)
    if not isinstance(latent_dim, int):
        raise UserError("the generator has no attribute latent_dim; hand latent_dim=... to assemble")
    regularizers: dict[Role, list[tuple[str, Selection]]] = {role: [] for role in ROLES}
    for selection in experiment.regularizers:
        on = selection.create().on
        for role in ROLES:
            if on in (role, "both"):
                taken = [key for key, _ in regularizers[role]]
                regularizers[role].append((unique(selection.name, taken), selection))
    return Blueprint(spec, models, {role: tuple(found) for role, found in regularizers.items()}, latent_dim, where)


def unique(name: str, taken: Iterable[str]) -> str:
    """`name`, or `name-2` if there is one already: the same component may be used twice."""
    taken = set(taken)
    key, n = name, 1
    while key in taken:
        n += 1
        key = f"{name}-{n}"
    return key
