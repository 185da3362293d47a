"""The detective: goes through a phase and stops at the first thing that is not finite.

It waits for the device at every module, so it is for a step that is known to go wrong, not for training.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Literal

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from gancore.contracts import Role
from gancore.health.taps import Aims, PhaseProbe

Kind = Literal["data", "weight", "output", "loss", "penalty", "gradient", "update"]


@frozen
class Sighting:
    """The first thing that was not finite.

    Attributes:
        kind: of thing.
        where: in words, e.g. `output of discriminator layers.2`; the same on every replay.
        phase: whose phase it was in; empty before the first one.
        values: how many of its values, and what they are.
    """

    kind: Kind
    where: str
    phase: str
    values: str

    def __str__(self) -> str:
        phase = f", in the {self.phase}'s phase" if self.phase else ", before the step"
        return f"the {self.where}{phase} ({self.values})"


class Seen(Exception):  # noqa: N818 - a discovery, no error
    """Ends the phase at once."""

    def __init__(self, sighting: Sighting) -> None:
        super().__init__(str(sighting))
        self.sighting = sighting


class Detective(PhaseProbe):
    """The taps of one phase, each of which looks at what passes by.

    Raises:
        Seen: from any of them.
    """

    traceable = False

    def __init__(self, role: Role, networks: Mapping[Role, nn.Module]) -> None:
        super().__init__(Aims(), role, whole=False, weigh=False)
        self._networks = networks

    def given(self, real: Tensor) -> None:
        self._look(real, "data", "batch of reals")

    @contextmanager
    def watching(self, network: nn.Module, samples: int | None = None) -> Iterator[None]:
        with self.passing(network):
            yield

    def passing(self, network: nn.Module) -> AbstractContextManager[object]:
        return self._following(network)

    def scored(self, score: Tensor, fake: Tensor | None = None) -> None:
        self._look(score, "output", "scores")

    def compared(self, *_: Any) -> None:
        pass

    def summed(self, loss: Tensor, penalties: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> None:
        self._look(loss, "loss", f"{self._role}'s loss")
        for key, penalty in penalties.items():
            self._look(penalty, "penalty", f"penalty {key}")
            if not penalty.requires_grad:
                continue
            gradients = torch.autograd.grad(penalty, parameters, retain_graph=True, allow_unused=True)
            for gradient in gradients:
                if gradient is not None:
                    self._look(gradient, "penalty", f"gradient of penalty {key}")

    def averaged(self, gradients: Sequence[Tensor | None]) -> None:
        for name, parameter in self._networks[self._role].named_parameters():
            if parameter.grad is not None:
                self._look(parameter.grad, "gradient", f"gradient of {self._role} {name}")
        present = [gradient for gradient in gradients if gradient is not None]
        # Finite numbers whose squares overflow: the log's norm is infinite before any of them is.
        self._look(get_total_norm(present), "gradient", f"norm of the {self._role}'s gradient")

    def before_update(self, parameters: Sequence[Tensor]) -> None:
        for name, parameter in self._networks[self._role].named_parameters():
            if parameter.grad is not None:
                self._look(parameter.grad, "gradient", f"gradient of {self._role} {name}, after the regularizers")

    def after_update(self, parameters: Sequence[Tensor]) -> None:
        for name, parameter in self._networks[self._role].named_parameters():
            self._look(parameter, "update", f"{self._role} {name} after the optimizer's step")

    @contextmanager
    def _following(self, network: nn.Module) -> Iterator[None]:
        role = next((name for name, known in self._networks.items() if known is network), "network")
        with ExitStack() as stack:
            for name, module in network.named_modules():
                handle = module.register_forward_hook(self._hook(f"{role} {name}".rstrip()))
                stack.callback(handle.remove)
            yield

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def called(_: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                self._look(output, "output", f"output of {name}")
                if output.requires_grad:
                    output.register_hook(  # type: ignore[no-untyped-call]
                        lambda gradient: self._look(gradient, "gradient", f"gradient at the output of {name}")
                    )

        return called

    def _look(self, value: Tensor, kind: Kind, where: str) -> None:
        look(value, kind, where, self._role)


def look(value: Tensor, kind: Kind, where: str, phase: str) -> None:
    """Raises:
    Seen: some of it is not finite.
    """
    value = value.detach()
    if bool(torch.isfinite(value).all()):
        return
    nans, infinities = int(value.isnan().sum()), int(value.isinf().sum())
    found = [f"{count} {what}" for count, what in ((nans, "NaN"), (infinities, "infinite")) if count]
    raise Seen(Sighting(kind, where, phase, f"{' and '.join(found)} of {value.numel()}"))
