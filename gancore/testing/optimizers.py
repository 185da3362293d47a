"""What every optimizer has to hold."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gancore.testing.device_safe import DEVICE, device_safe
from gancore.testing.kit import Subject, Violation
from gancore.testing.materials import draw
from gancore.training.compiled import operator_by_operator
from gancore.training.compiled_step import CompiledStep
from gancore.training.player import Player

STEPS, IN_GRAPH = 200, 6


def builds_an_optimizer_and_its_schedule(subject: Subject) -> None:
    _, optimizer, schedule = _set_up(subject)
    if not isinstance(optimizer, Optimizer):
        raise Violation(f"{subject}: build() returned {type(optimizer).__name__}; return a torch.optim.Optimizer")
    if not isinstance(schedule, LRScheduler):
        raise Violation(
            f"{subject}: schedule() returned {type(schedule).__name__}; return a torch LRScheduler, "
            "LambdaLR(optimizer, lambda step: 1.0) for a constant rate"
        )


def lowers_a_quadratic(subject: Subject) -> None:
    parameter, optimizer, schedule = _set_up(subject)
    before = parameter.detach().square().sum().item()
    for _ in range(STEPS):
        _step(parameter, optimizer, schedule)
    after = parameter.detach().square().sum().item()
    if not after < before:
        raise Violation(
            f"{subject}: {STEPS} steps on |x|^2 went from {before:.4g} to {after:.4g}; does it follow -gradient?"
        )


def lazy_regularization_lowers_the_rate(subject: Subject) -> None:
    """c = 16/17 for a penalty on every 16th phase (StyleGAN2, appendix B)."""
    rates = [_set_up(subject, lazy)[1].param_groups[0]["lr"] for lazy in (1.0, 16 / 17)]
    if abs(rates[1] - rates[0] * 16 / 17) > 1e-12:
        raise Violation(f"{subject}: build(parameters, lazy) ignores lazy; multiply lr by it, raise betas to its power")


def rate_is_a_closed_form_of_the_step(subject: Subject) -> None:
    """A state that is restored into a fresh schedule gives the same rate, so that resumed runs follow their plan."""
    parameter, optimizer, schedule = _set_up(subject)
    for _ in range(7):
        _step(parameter, optimizer, schedule)
    _, other_optimizer, other = _set_up(subject)
    other.load_state_dict(copy.deepcopy(schedule.state_dict()))
    for _ in range(2):
        _step(parameter, optimizer, schedule)
        other_optimizer.step()
        other.step()
        if optimizer.param_groups[0]["lr"] != other_optimizer.param_groups[0]["lr"]:
            raise Violation(
                f"{subject}: after a resume the learning rate is another one; make it a closed form of the step "
                "(LambdaLR)"
            )


def goes_on_exactly_where_it_was(subject: Subject) -> None:
    parameter, optimizer, schedule = _set_up(subject)
    for _ in range(5):
        _step(parameter, optimizer, schedule)
    other, other_optimizer, other_schedule = _set_up(subject)
    with torch.no_grad():
        other.copy_(parameter)
    other_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    other_schedule.load_state_dict(copy.deepcopy(schedule.state_dict()))
    for _ in range(5):
        _step(parameter, optimizer, schedule)
        _step(other, other_optimizer, other_schedule)
    if not torch.equal(parameter, other):
        raise Violation(f"{subject}: does not go on exactly after load_state_dict; keep all state in torch's `state`")


def runs_without_waiting_for_the_device(subject: Subject) -> None:
    """Two steps where no tensor has a value: the first one makes the state."""
    component = subject.create()
    with device_safe(str(subject)):
        parameter = nn.Parameter(torch.empty(8, device=DEVICE))
        optimizer = component.build([parameter], 1.0)
        schedule = component.schedule(optimizer, STEPS)
        for _ in range(2):
            _step(parameter, optimizer, schedule)


def goes_on_in_a_graph(subject: Subject) -> None:
    """A compiled run takes in every step the one that the optimizer would take: in a graph where it can be traced."""
    alone, in_graph = _player(subject), _player(subject)
    in_graph.stepper = CompiledStep(in_graph, operator_by_operator)
    for step in range(IN_GRAPH):
        rng = torch.Generator().manual_seed(step)
        for one, other in zip(alone.parameters, in_graph.parameters, strict=True):
            one.grad = torch.randn(one.shape, generator=rng)
            other.grad = one.grad.clone()
        for player in (alone, in_graph):
            player.take_step()
            player.schedule.step()
    for one, other in zip(alone.parameters, in_graph.parameters, strict=True):
        if not torch.allclose(one, other, rtol=1e-3, atol=1e-5):
            raise Violation(
                f"{subject}: in a compiled run its steps are others (difference of weights up to "
                f"{(one - other).abs().max():.2g} after {IN_GRAPH} steps). What changes over time has to be a tensor "
                "in torch's `state` that is changed in place, or the learning rate"
            )


def _player(subject: Subject) -> Player:
    component = subject.create()
    network = nn.ParameterList([nn.Parameter(draw(3, 2)), nn.Parameter(draw(4))])
    optimizer = component.build(list(network.parameters()), 1.0)
    return Player("generator", network, optimizer, component.schedule(optimizer, STEPS), ())


def _set_up(subject: Subject, lazy: float = 1.0) -> tuple[Tensor, Any, Any]:
    component = subject.create()
    parameter = nn.Parameter(draw(8))
    optimizer = component.build([parameter], lazy)
    return parameter, optimizer, component.schedule(optimizer, STEPS)


def _step(parameter: Tensor, optimizer: Optimizer, schedule: LRScheduler) -> None:
    optimizer.zero_grad()
    parameter.square().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    schedule.step()


CHECKS = (
    builds_an_optimizer_and_its_schedule,
    lowers_a_quadratic,
    lazy_regularization_lowers_the_rate,
    rate_is_a_closed_form_of_the_step,
    goes_on_exactly_where_it_was,
    runs_without_waiting_for_the_device,
    goes_on_in_a_graph,
)
