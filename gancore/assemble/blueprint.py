"""How to build the two networks of an experiment, on any device: also on `meta`, where they need no memory."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from attrs import field, frozen
from torch import nn
from torch.utils.data import Dataset

from gancore.assemble.work import Work
from gancore.contracts import ROLES, Context, DataSpec, DiscriminatorInputs, NetworkBuilt, Role
from gancore.errors import ComponentError, GancoreError, UserError
from gancore.experiment import Experiment, Selection
from gancore.experiment.fix import unique as unique  # what else has keys takes it from here


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
    """How to build the two networks, on whatever device is current.

    Attributes:
        ends, work: what `verify` has found out, see `gancore.contracts.Facts` and `gancore.assemble.work`.
    """

    spec: DataSpec
    models: dict[Role, Any]
    regularizers: dict[Role, tuple[tuple[str, Selection], ...]]
    latent_dim: int
    where: dict[Role, str]
    ends: dict[Role, nn.Module] = field(factory=dict, init=False)
    work: Work = field(factory=Work, init=False)

    def build(self, role: Role) -> Built:
        """The network with everything that regularizers do to it, and those regularizers.

        Raises:
            ComponentError: the model cannot make it, for these data or at all.
        """
        model = self.models[role]
        with _blamed(f"{self.where[role]}: {role}()"):
            network = model if isinstance(model, nn.Module) else getattr(model, role)(self.spec)
        if not isinstance(network, nn.Module):
            raise ComponentError(
                f"{self.where[role]}: {role}() returned {type(network).__name__}, not a torch.nn.Module"
            )
        regularizers = tuple((key, selection.create()) for key, selection in self.regularizers[role])
        for key, component in regularizers:
            if isinstance(component, NetworkBuilt):
                with _blamed(f"regularizer {key!r}: network_built of the {role}"):
                    network = component.network_built(network)
        return Built(network, regularizers)

    @torch.no_grad()
    def verify(self, batch_size: int) -> dict[Role, nn.Module]:
        """Build both networks without memory (on the meta device) and check that they fit the data and each other.

        Networks that were handed in live on a real device and are left out; their first step will tell.

        Returns:
            the networks, on the meta device.

        Raises:
            ComponentError: something fails, or a shape is not what the contract says.
        """
        n = min(4, batch_size)
        self._verify_inputs(torch.zeros(n, *self.spec.shape))
        if any(isinstance(model, nn.Module) for model in self.models.values()):
            return {}
        with torch.device("meta"):
            networks = {role: self.build(role).network for role in ROLES}
            y = torch.zeros(n, dtype=torch.int64) if self.spec.classes else None
            trials: tuple[tuple[Role, str, torch.Tensor, tuple[int, ...]], ...] = (
                ("generator", "samples", torch.empty(n, self.latent_dim), (n, *self.spec.shape)),
                ("discriminator", "scores", torch.empty(n, *self.spec.shape), (n,)),
            )
            for role, what, given, expected in trials:
                network = networks[role]
                with (
                    _blamed(f"{self.where[role]}: the {role}"),
                    _written(network) as writers,
                    self.work.counted(role, network, n),
                ):
                    made = network(given, y)
                if tuple(made.shape) != expected:
                    raise ComponentError(
                        f"{self.where[role]}: the {role} makes {what} of shape {tuple(made.shape)} for a batch of {n}; "
                        f"expected {expected}"
                    )
                if (end := writers.of(made)) is not None:
                    self.ends[role] = end
        return networks

    def _verify_inputs(self, x: torch.Tensor) -> None:
        """What D is shown has the shape of the data."""
        for key, selection in self.regularizers["discriminator"]:
            component = selection.create()
            if isinstance(component, DiscriminatorInputs):
                with _blamed(f"regularizer {key!r}"):
                    shown = component.discriminator_inputs(x, Context(torch.Generator(), torch.zeros(()), 1))
                if shown.shape != x.shape:
                    raise ComponentError(
                        f"regularizer {key!r}: makes {tuple(shown.shape)} of {tuple(x.shape)}; D's input has one shape"
                    )


class _Writers:
    """Which module wrote which tensor last. A view of a tensor has the same values, and is no other one."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[nn.Module, torch.Tensor, int]] = {}

    def note(self, module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and self.of(output) is None:
            values = _values(output)
            self._last[id(values)] = module, values, values._version

    def of(self, tensor: Any) -> nn.Module | None:
        """None if no module wrote it, or a function has changed it since."""
        values = _values(tensor)
        module, _, version = self._last.get(id(values), (None, None, None))
        return module if version == values._version else None


def _values(tensor: torch.Tensor) -> torch.Tensor:
    """What a view looks at."""
    return tensor if tensor._base is None else tensor._base


@contextmanager
def _written(network: nn.Module) -> Iterator[_Writers]:
    """Watch what the network's innermost modules make."""
    writers = _Writers()
    with ExitStack() as stack:
        for module in network.modules():
            if not any(module.children()):
                stack.callback(module.register_forward_hook(writers.note).remove)
        yield writers


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    """An exception of somebody's code becomes a message that says whose."""
    try:
        yield
    except GancoreError:
        raise
    except Exception as error:
        raise ComponentError(f"{what} failed: {type(error).__name__}: {error}") from error


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
