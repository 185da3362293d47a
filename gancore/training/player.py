"""A player of the game: one network with its optimizer, its schedule and the regularizers that are for it."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol

import torch
from attrs import define, field, frozen
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gancore.contracts import (
    Context,
    DiscriminatorInputs,
    GradientsReady,
    ParametersUpdated,
    Penalty,
    Phase,
    Role,
)
from gancore.training.numbers import Numbers

PATIENCE = 1000  # phases


@frozen(eq=False)
class Regularizer:
    """One regularizer for one network. `key` names it in the log and in checkpoints, e.g. `r1`."""

    key: str
    component: Any
    context: Context


class Stepper(Protocol):
    """Takes a step with the gradients that there are."""

    def __call__(self) -> None: ...

    def heard_by(self, say: Callable[[str], None]) -> None:
        """To whom to say what the user should know."""
        ...


@define(eq=False, slots=False)
class Player:
    """
    Attributes:
        compiled: the network, compiled, to be called in its place.
        stepper: what takes a step in the optimizer's place.
        loads: how often a state was loaded, which puts other tensors in the places of moments.
    """

    role: Role
    network: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    regularizers: tuple[Regularizer, ...]
    compiled: Callable[..., Tensor] | None = None
    stepper: "Stepper | None" = None
    loads: int = field(default=0, init=False)
    _rates: list[Tensor] = field(factory=list, init=False)  # on the device, of a player whose steps are in graphs
    _filled: list[float] = field(factory=list, init=False)

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """Those that train. Decided once: in the other player's phase none of them requires a gradient."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Gradients pass through the network, but none is computed for its parameters."""
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.parameters:
                parameter.requires_grad_(True)

    def shown(self, x: Tensor) -> Tensor:
        """What this discriminator is shown of `x`."""
        for regularizer in self._with(DiscriminatorInputs):
            x = regularizer.component.discriminator_inputs(x, regularizer.context)
        return x

    def penalties(self, phase: Phase, index: int, numbers: Numbers) -> dict[str, Tensor]:
        """The penalties due in this network's `index`-th phase, by their keys. Lazy ones are due every k-th, times
        k."""
        due = {}
        for regularizer in self._with(Penalty):
            every = regularizer.component.every
            if index % every == 0:
                penalty = regularizer.component.penalty(phase, regularizer.context)
                numbers.add(f"penalty/{self.role}/{regularizer.key}", penalty)
                due[regularizer.key] = penalty * every if every > 1 else penalty
        return due

    def penalties_due(self, index: int) -> tuple[str, ...]:
        """The keys of the penalties due in this network's `index`-th phase."""
        if not self._lazy:
            return self._penalties
        return tuple(r.key for r in self._with(Penalty) if index % r.component.every == 0)

    def lazy_due(self, index: int) -> bool:
        """Whether a lazy penalty is due in this network's `index`-th phase."""
        rhythms = (regularizer.component.every for regularizer in self._with(Penalty))
        return self._lazy and any(every > 1 and index % every == 0 for every in rhythms)

    @cached_property
    def _penalties(self) -> tuple[str, ...]:
        return tuple(regularizer.key for regularizer in self._with(Penalty))

    @cached_property
    def _lazy(self) -> bool:
        """Whether a penalty is not due in every phase."""
        return any(regularizer.component.every > 1 for regularizer in self._with(Penalty))

    @cached_property
    def slowest_penalty(self) -> int:
        """Phases between two in which all of this network's penalties are due, if those are not too rare to wait for;
        else between two in which the slowest is. 0 without one."""
        rhythms = [regularizer.component.every for regularizer in self._with(Penalty)]
        together = math.lcm(*rhythms)
        return 0 if not rhythms else together if together <= PATIENCE else max(rhythms)

    def adjust_gradients(self, numbers: Numbers) -> None:
        """What regularizers do to gradients."""
        for regularizer in self._with(GradientsReady):
            report = regularizer.component.gradients_ready(self.with_gradient(), regularizer.context)
            for name, value in report.items():
                numbers.add(f"{regularizer.key}/{self.role}/{name}", value)

    def take_step(self) -> None:
        """Of the optimizer, with the gradients that there are."""
        if self.stepper is None:
            self.optimizer.step()
        else:
            self.stepper()

    def adjust_parameters(self) -> None:
        """What regularizers do to updated parameters."""
        if regularizers := self._with(ParametersUpdated):
            with torch.no_grad():
                for regularizer in regularizers:
                    regularizer.component.parameters_updated(self.parameters, regularizer.context)

    def with_gradient(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters if parameter.grad is not None]

    def make_capturable(self) -> None:
        """Let a CUDA graph hold the optimizer's step, `at_rates`: what changes in it is on the device."""
        device = self.parameters[0].device
        self._rates = self._rates or [torch.zeros((), device=device) for _ in self.optimizer.param_groups]
        self._filled = self._filled or [math.nan] * len(self._rates)
        for group in self.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = True
        for parameter, kept in self.optimizer.state.items():
            if isinstance(kept.get("step"), Tensor):
                kept["step"] = kept["step"].to(parameter.device)

    def fill_rates(self) -> None:
        """Bring the learning rates that graphs read up to date."""
        for i, group in enumerate(self.optimizer.param_groups):
            rate = group["lr"]
            if isinstance(rate, Tensor):  # which a schedule fills, or replaces by another one
                self._rates[i].copy_(rate)
            elif rate != self._filled[i]:
                self._filled[i] = rate
                self._rates[i].fill_(rate)

    @contextmanager
    def at_rates(self) -> Iterator[None]:
        """The optimizer takes its learning rates from the device: a graph would freeze numbers."""
        self.fill_rates()
        groups = self.optimizer.param_groups
        before = [group["lr"] for group in groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate
        try:
            yield
        finally:
            for group, rate in zip(groups, before, strict=True):
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """As any other run can read it, also one that captures nothing."""
        optimizer = self.optimizer.state_dict()
        for group in optimizer["param_groups"] if self._rates else ():
            group |= {"capturable": False} if "capturable" in group else {}
        return {
            "network": self.network.state_dict(),
            "optimizer": optimizer,
            "schedule": self.schedule.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._load_optimizer(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self._reschedule(state["schedule"]["last_epoch"])

    def adopt(self, state: dict[str, Any]) -> None:
        """Take over weights, moments and progress from a run with other options; the options stay this run's own."""
        self.network.load_state_dict(state["network"])
        own = [{key: value for key, value in group.items() if key != "params"} for group in self.optimizer.param_groups]
        if len(own) == len(state["optimizer"]["param_groups"]) and self._same_optimizer(state["optimizer"]):
            self._load_optimizer(state["optimizer"])
            for group, options in zip(self.optimizer.param_groups, own, strict=True):
                group.update(options)
        self._reschedule(state["schedule"]["last_epoch"])

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        self.loads += 1
        self.optimizer.load_state_dict(state)
        for parameter, kept in self.optimizer.state.items():
            for name, value in kept.items():
                # A fused update walks through memory: what belongs together has to lie in the same order.
                if name != "step" and isinstance(value, Tensor) and value.shape == parameter.shape:
                    kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
                elif isinstance(value, Tensor):  # the state is its owner's, who may load it once more
                    kept[name] = value.clone()
        if self._rates:
            self.make_capturable()

    def _reschedule(self, steps: int) -> None:
        """One step back and one forward again: sets the learning rate that this run's plan has for this step, which is
        another one if the run was made longer."""
        if steps > 0:
            self.schedule.last_epoch = steps - 1
            self.schedule._step_count -= 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # "step() of the optimizer comes first": it did, before
                self.schedule.step()

    def _same_optimizer(self, state: dict[str, Any]) -> bool:
        """Whether the state is of an optimizer with the same kind of options."""
        return set(self.optimizer.param_groups[0]) == set(state["param_groups"][0])

    def _with(self, moment: type) -> tuple[Regularizer, ...]:
        found = self._moments.get(moment)
        if found is None:  # asking a Protocol is slow; once is enough
            found = tuple(regularizer for regularizer in self.regularizers if isinstance(regularizer.component, moment))
            self._moments[moment] = found
        return found

    @cached_property
    def _moments(self) -> dict[type, tuple[Regularizer, ...]]:
        return {}
