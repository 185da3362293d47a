"""An optimizer's step as a graph: the same parameters and state as by its own code, or its own code."""

import copy
import shutil
from typing import Any

import pytest
import torch
from torch import nn

from gancore.training.compiled import by_inductor, operator_by_operator
from gancore.training.compiled_step import CompiledStep
from gancore.training.player import Player
from gancore_optimizers.adam import Adam
from gancore_optimizers.adamw import AdamW
from gancore_optimizers.rmsprop import RmsProp
from gancore_optimizers.sgd import Sgd
from gancore_optimizers.subgradient import Subgradient

needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
IN_A_GRAPH = {
    "adam": Adam(lr=1e-2, lr_schedule="linear"),
    "adam of wgan-gp": Adam(lr=1e-2, beta1=0.0, beta2=0.9, lr_schedule="cosine", warmup=2),
    "adamw": AdamW(lr=1e-2, weight_decay=0.1),
    "subgradient": Subgradient(normalize=True),
}
AS_THEY_ARE = {"sgd": Sgd(momentum=0.9, nesterov=True), "rmsprop": RmsProp(lr=1e-2)}
STEPS = 12


def player_of(component: Any) -> Player:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    optimizer = component.build(network.parameters(), 1.0)
    return Player("generator", network, optimizer, component.schedule(optimizer, STEPS), ())


def in_a_graph(component: Any, machine: Any = operator_by_operator) -> Player:
    player = player_of(component)
    player.stepper = CompiledStep(player, machine)
    return player


def train(player: Player, steps: int = STEPS, first: int = 0, without: int | None = None) -> None:
    """On gradients that are the same for everybody; one parameter has none in step `without`."""
    for step in range(first, first + steps):
        rng = torch.Generator().manual_seed(step)
        for i, parameter in enumerate(player.parameters):
            gradient = torch.randn(parameter.shape, generator=rng)
            parameter.grad = None if step == without and i == 1 else gradient
        player.take_step()
        player.schedule.step()


def assert_same(one: Player, other: Player, tolerance: float = 1e-6) -> None:
    for a, b in zip(one.parameters, other.parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
        mine, theirs = one.optimizer.state[a], other.optimizer.state[b]
        assert mine.keys() == theirs.keys()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", IN_A_GRAPH)
def test_a_graph_does_what_the_optimizer_does(name: str) -> None:
    plain, traced = player_of(IN_A_GRAPH[name]), in_a_graph(IN_A_GRAPH[name])
    train(plain)
    train(traced)
    assert isinstance(traced.stepper, CompiledStep)
    assert traced.stepper.failed == ""
    assert_same(plain, traced)


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_one_that_reads_its_rate_takes_its_steps_itself(name: str) -> None:
    plain, traced = player_of(AS_THEY_ARE[name]), in_a_graph(AS_THEY_ARE[name])
    train(plain)
    train(traced)
    assert isinstance(traced.stepper, CompiledStep)
    assert traced.stepper.failed
    assert_same(plain, traced, 0)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", IN_A_GRAPH)
def test_a_compiled_graph_does_what_the_optimizer_does(name: str) -> None:
    plain, compiled = player_of(IN_A_GRAPH[name]), in_a_graph(IN_A_GRAPH[name], by_inductor)
    train(plain)
    train(compiled)
    assert isinstance(compiled.stepper, CompiledStep)
    assert compiled.stepper.failed == ""
    assert_same(plain, compiled, 1e-5)


def test_late_in_a_run_it_counts_as_exactly() -> None:
    """1 - 0.999^t of a t in float32 loses digits early on, and t itself is no longer exact late."""
    plain, traced = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2))
    for player in (plain, traced):
        train(player, 2)
        for kept in player.optimizer.state.values():
            kept["step"].fill_(1e6)
    train(plain, 3, first=2)
    train(traced, 3, first=2)
    assert_same(plain, traced, 1e-7)


def test_a_step_without_a_gradient_is_its_own() -> None:
    """From then on the parameters' numbers of steps differ, which the graph takes to be the same."""
    plain, traced = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2))
    train(plain, without=5)
    train(traced, without=5)
    assert_same(plain, traced)


def test_another_parameter_without_a_gradient_is_another_graph() -> None:
    plain, traced = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2))
    for player in (plain, traced):
        for step, missing in enumerate([3, 3, 3, 2, 2, 3]):
            for i, parameter in enumerate(player.parameters):
                parameter.grad = None if i == missing else torch.full_like(parameter, step + 1.0)
            player.take_step()
    assert_same(plain, traced)


@needs_compiler
@pytest.mark.slow
def test_gradients_may_lie_otherwise_in_memory() -> None:
    plain, compiled = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2), by_inductor)
    for player in (plain, compiled):
        for step in range(4):
            for parameter in player.parameters:
                gradient = torch.arange(float(parameter.numel())).view_as(parameter)
                turned = player is compiled and step % 2 and gradient.dim() == 2
                parameter.grad = gradient.t().contiguous().t() if turned else gradient
            player.take_step()
    assert_same(plain, compiled, 1e-5)


def test_an_option_that_changes_counts() -> None:
    plain, traced = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2))
    for player in (plain, traced):
        train(player, 3)
        player.optimizer.param_groups[0]["betas"] = (0.1, 0.9)
        train(player, 3, first=3)
    assert_same(plain, traced)


def test_after_a_state_was_loaded_it_goes_on_from_there() -> None:
    plain, traced = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2))
    train(traced, 4)
    state = copy.deepcopy(traced.state_dict())
    train(traced, 3, first=4)
    for player in (plain, traced):
        player.load_state_dict(copy.deepcopy(state))
        train(player, 4, first=4)
    assert_same(plain, traced)


def test_from_a_state_it_does_what_it_would_have_done_without_a_break() -> None:
    whole, first, second = (in_a_graph(Adam(lr=1e-2, lr_schedule="linear")) for _ in range(3))
    train(whole, 8)
    train(first, 4)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(second, 4, first=4)
    assert_same(whole, second, 0)


class Counting(torch.optim.SGD):
    """Every other step is twice as long; it counts in Python."""

    count = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.count += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(parameter.grad * group["lr"] * (1 + self.count % 2))


class Drifting(Counting):
    """Counts in its options."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["momentum"] += 1
            for parameter in group["params"]:
                parameter.sub_(parameter.grad * group["lr"] * (1 + group["momentum"] % 2))


@pytest.mark.parametrize("cls", [Counting, Drifting])
def test_one_that_counts_in_python_takes_its_steps_itself(cls: Any) -> None:
    def player() -> Player:
        made = player_of(Adam())
        optimizer = cls(made.network.parameters(), lr=0.1)
        return Player("generator", made.network, optimizer, Adam().schedule(optimizer, STEPS), ())

    plain, traced = player(), player()
    traced.stepper = CompiledStep(traced, operator_by_operator)
    train(plain, 5)
    train(traced, 5)
    assert "change" in traced.stepper.failed
    assert_same(plain, traced, 0)


def test_one_that_somebody_is_hooked_to_takes_its_steps_itself() -> None:
    traced, seen = in_a_graph(Adam()), []
    traced.optimizer.register_step_post_hook(lambda *_: seen.append(1))
    train(traced, 3)
    assert len(seen) == 3
