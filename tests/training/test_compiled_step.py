"""An optimizer's step as a graph: the same parameters and state as by its own code, or its own code."""

import copy
import shutil
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

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


@pytest.mark.parametrize("name", [*IN_A_GRAPH, *AS_THEY_ARE])
def test_steps_are_the_optimizers_in_a_graph_or_where_it_reads_its_rate_by_itself(name: str) -> None:
    component = {**IN_A_GRAPH, **AS_THEY_ARE}[name]
    plain, traced = player_of(component), in_a_graph(component)
    train(plain)
    train(traced)
    assert isinstance(traced.stepper, CompiledStep)
    assert bool(traced.stepper.failed) is (name in AS_THEY_ARE)
    assert_same(plain, traced, 0 if name in AS_THEY_ARE else 1e-6)


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


def test_scalars_are_computed_once_not_for_every_element() -> None:
    graphs = []

    def machine(graph: Any, examples: Any) -> Any:
        graphs.append(graph)
        return graph

    train(in_a_graph(Adam(lr=1e-2), machine), 3)
    (graph,) = graphs
    of_tensors = [node for node in graph.graph.nodes if node.op == "call_function" and node.meta["val"].dim() > 0]
    scalars = [used for node in of_tensors for used in node.all_input_nodes if used.meta["val"].dim() == 0]
    computed = {node.target for node in scalars if node.op != "placeholder"}
    assert computed == {torch.ops.aten.as_strided.default}


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


class Norming(torch.optim.SGD):
    """Divides by a running norm of each parameter's gradient, which it keeps as a scalar; and counts clipped steps."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["norm"], state["clipped"] = torch.zeros(()), torch.zeros(())
                state["norm"].mul_(0.5).add_(parameter.grad.norm())
                state["clipped"].add_((parameter.grad.norm() > 2).float())
                parameter.sub_(parameter.grad / (state["norm"] + state["clipped"]) * group["lr"])


class Drawing(torch.optim.SGD):
    """Adds noise, as Langevin dynamics does."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(parameter.grad * group["lr"]).add_(torch.randn_like(parameter))


def with_optimizer(cls: Any, *, graph: bool, **options: Any) -> Player:
    made = player_of(Adam())
    optimizer = cls(made.network.parameters(), **options)
    player = Player("generator", made.network, optimizer, Adam().schedule(optimizer, STEPS), ())
    player.stepper = CompiledStep(player, operator_by_operator) if graph else None
    return player


def test_scalars_of_their_own_stay_each_parameters_own() -> None:
    plain, traced = (with_optimizer(Norming, graph=graph, lr=0.1) for graph in (False, True))
    train(plain)
    train(traced)
    assert isinstance(traced.stepper, CompiledStep)
    assert traced.stepper.failed == ""
    assert_same(plain, traced)


def test_one_that_draws_takes_its_steps_itself_and_what_it_draws_is_the_same() -> None:
    plain, traced = (with_optimizer(Drawing, graph=graph, lr=0.1) for graph in (False, True))
    for player in (plain, traced):
        torch.manual_seed(0)
        train(player)
    assert_same(plain, traced, 0)


def test_a_rate_that_is_a_tensor_is_followed() -> None:
    plain, traced = (with_optimizer(torch.optim.Adam, graph=g, lr=torch.tensor(0.01)) for g in (False, True))
    for player in (plain, traced):
        for step in range(6):
            player.optimizer.param_groups[0]["lr"].fill_(0.01 * (step + 1))
            train(player, 1, first=step)
    assert_same(plain, traced)


def test_a_rate_of_0_moves_nothing_and_makes_nothing_nan() -> None:
    """torch's plain operators divide by the rate: 0 / 0 where there never was a gradient."""
    plain, traced = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2))
    for player in (plain, traced):
        for step, rate in enumerate([0.01, 0.01, 0.0, 0.01, 0.0]):
            player.optimizer.param_groups[0]["lr"] = rate
            for parameter in player.parameters:
                parameter.grad = torch.zeros_like(parameter)
                parameter.grad.view(-1)[0] = step + 1.0
            player.take_step()
    assert isinstance(traced.stepper, CompiledStep)
    assert traced.stepper.failed == ""
    assert_same(plain, traced)


@pytest.mark.parametrize("broken_at", [3, 4, 5, 6, 7])
def test_wherever_a_run_is_broken_off_it_goes_on_as_if_it_had_not_been(broken_at: int) -> None:
    """Also around steps that the optimizer takes itself."""

    def some(player: Player, first: int, last: int) -> None:
        for step in range(first, last):
            player.optimizer.param_groups[0]["betas"] = (0.1, 0.9) if step == 6 else (0.5, 0.999)
            train(player, 1, first=step, without=4)

    whole, first, second = (in_a_graph(Adam(lr=1e-2)) for _ in range(3))
    some(whole, 0, 10)
    some(first, 0, broken_at)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    some(second, broken_at, 10)
    assert_same(whole, second, 0)


def test_state_that_is_thrown_away_is_made_anew() -> None:
    plain, traced = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2))
    for player in (plain, traced):
        train(player, 4)
        player.optimizer.state.clear()
        train(player, 4)
    assert_same(plain, traced)


def test_parameters_that_come_later_move_too() -> None:
    plain, traced = player_of(Adam(lr=1e-2)), in_a_graph(Adam(lr=1e-2))
    for player in (plain, traced):
        train(player, 4)
        late = torch.nn.Parameter(torch.ones(2))
        player.optimizer.add_param_group({"params": [late]})
        for _ in range(2):
            player.take_step()
        late.grad = torch.ones(2)
        player.take_step()
        assert not torch.equal(late, torch.ones(2))
    assert_same(plain, traced)


@pytest.mark.parametrize("component", [Adam(lr=1e-2), Subgradient()])
def test_a_parameter_in_the_place_of_another_moves(component: Any) -> None:
    plain, traced = player_of(component), in_a_graph(component)
    others = []
    for player in (plain, traced):
        train(player, 4)
        group = player.optimizer.param_groups[0]
        group["params"] = [*group["params"][:-1], torch.nn.Parameter(torch.ones(3))]
        others.append(group["params"][-1])
        for step in range(3):
            for parameter in group["params"]:
                parameter.grad = torch.full_like(parameter, step + 1.0)
            player.take_step()
    torch.testing.assert_close(*others)
    assert not torch.equal(others[0], torch.ones(3))


def test_hooks_are_called_whenever_they_came() -> None:
    traced, seen = in_a_graph(Adam()), []
    train(traced, 3)
    handle = register_optimizer_step_post_hook(lambda *_: seen.append("all"))
    try:
        train(traced, 2)
    finally:
        handle.remove()
    traced.optimizer.register_step_post_hook(lambda *_: seen.append("own"))
    train(traced, 3)
    assert seen == ["all"] * 2 + ["own"] * 3


def test_why_a_step_is_its_optimizers_own_is_said_once() -> None:
    traced, said = in_a_graph(AS_THEY_ARE["rmsprop"]), []
    assert traced.stepper is not None
    traced.stepper.heard_by(said.append)
    train(traced)
    assert said == ["generator's update is not compiled: the value of a tensor is read in Python"]
