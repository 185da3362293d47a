"""The subgradient method: its steps, its bound on convex functions, and torch's subgradients at kinks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gancore_optimizers.subgradient import Subgradient


def parameter(values, gradient):
    x = nn.Parameter(torch.tensor(values))
    x.grad = torch.tensor(gradient)
    return x


@pytest.mark.parametrize(
    ("power", "rates"),
    [
        (0.5, [1, 0.70710678, 0.57735027, 0.5]),
        (0.75, [1, 0.59460356, 0.43869134, 0.35355339]),
        (1.0, [1, 1 / 2, 1 / 3, 1 / 4]),
    ],
)
def test_steps_diminish_by_the_power_of_the_steps_finished(power, rates):
    component = Subgradient(lr=2.0, power=power)
    x = parameter([0.0], [1.0])
    optimizer = component.build([x], lazy=1.0)
    plan = component.schedule(optimizer, 4)
    before, lengths = 0.0, []
    for _ in range(4):
        optimizer.step()
        plan.step()
        lengths.append(before - x.item())
        before = x.item()
    assert lengths == pytest.approx([2 * rate for rate in rates], rel=1e-6)


def test_the_plan_does_not_depend_on_the_length_of_the_run():
    component = Subgradient(lr=2.0)
    states = []
    for steps in (4, 4000):
        optimizer = component.build([nn.Parameter(torch.zeros(1))], lazy=1.0)
        plan = component.schedule(optimizer, steps)
        for _ in range(3):
            optimizer.step()
            plan.step()
        states.append((optimizer.state_dict(), plan.state_dict()))
    assert states[0] == states[1]


def test_a_step_is_the_gradient_times_the_rate():
    x = parameter([1.0, 1.0], [3.0, -4.0])
    Subgradient(lr=0.5).build([x], lazy=1.0).step()
    assert x.tolist() == [-0.5, 3.0]


def test_a_normalised_step_is_as_long_as_the_rate_over_all_parameters():
    x, y = parameter([1.0, 1.0], [2.0, 3.0]), parameter([[1.0]], [[6.0]])  # ||g|| = 7
    Subgradient(lr=7.0, normalize=True).build([x, y], lazy=1.0).step()
    torch.testing.assert_close(x.detach(), torch.tensor([-1.0, -2.0]))
    torch.testing.assert_close(y.detach(), torch.tensor([[-5.0]]))


@settings(max_examples=30, deadline=None)
@given(exponent=st.floats(-35, 37), angle=st.floats(0, 6.28))
def test_a_normalised_step_has_no_scale(exponent, angle):
    direction = torch.tensor([angle, angle + 1.5707963]).cos()
    x = nn.Parameter(torch.zeros(2))
    x.grad = direction * 10.0**exponent
    Subgradient(lr=1.0, normalize=True).build([x], lazy=1.0).step()
    torch.testing.assert_close(-x.detach(), direction, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gradient", [[0.0, 0.0], None])
def test_without_a_direction_a_normalised_step_stands_still(gradient):
    x = nn.Parameter(torch.ones(2))
    x.grad = None if gradient is None else torch.tensor(gradient)
    Subgradient(lr=1e6, normalize=True).build([x], lazy=1.0).step()
    assert x.tolist() == [1, 1]


@pytest.mark.parametrize("normalize", [False, True])
def test_the_rate_may_be_a_tensor(normalize):
    x, y = parameter([1.0, 2.0], [3.0, -4.0]), parameter([1.0, 2.0], [3.0, -4.0])
    component = Subgradient(lr=0.5, normalize=normalize)
    component.build([x], lazy=1.0).step()
    optimizer = component.build([y], lazy=1.0)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.5)
    optimizer.step()
    assert torch.equal(x, y)


def test_a_copied_optimizer_still_normalises():
    optimizer = copy.deepcopy(Subgradient(lr=5.0, normalize=True).build([parameter([0.0, 0.0], [3.0, 4.0])], 1.0))
    optimizer.param_groups[0]["params"][0].grad = torch.tensor([3.0, 4.0])
    optimizer.step()
    torch.testing.assert_close(optimizer.param_groups[0]["params"][0].detach(), torch.tensor([-3.0, -4.0]))


def test_a_closure_is_evaluated_with_gradients():
    x = nn.Parameter(torch.tensor([3.0]))
    optimizer = Subgradient(lr=0.5).build([x], lazy=1.0)

    def closure():
        loss = x.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9
    assert x.item() == 0


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("power", [0.5, 0.75, 1.0])
def test_the_best_value_of_a_convex_function_with_kinks_obeys_its_bound(power, normalize):
    """best - f* <= (R^2 + sum ||step||^2) / (2 sum a_t), R = ||x_0 - x*|| (Boyd et al. 2003)."""
    weights = torch.tensor([1.0, 10.0], dtype=torch.float64)
    x = nn.Parameter(torch.tensor([2.0, -1.0], dtype=torch.float64))
    component = Subgradient(lr=0.3, power=power, normalize=normalize)
    optimizer = component.build([x], lazy=1.0)
    plan = component.schedule(optimizer, 300)
    R2, best, squares, total = x.detach().square().sum().item(), float("inf"), 0.0, 0.0
    for _ in range(300):
        optimizer.zero_grad()
        loss = (weights * x.abs()).sum()
        loss.backward()
        best = min(best, loss.item())
        rate, norm = optimizer.param_groups[0]["lr"], x.grad.norm().item()
        squares += rate**2 * (1 if normalize else norm**2)
        total += rate / (norm if normalize else 1)
        optimizer.step()
        plan.step()
    assert best <= (R2 + squares) / (2 * total)


# ------------------------------------------------------------------------------ torch's choice at a kink


def slope(function, *values):
    x = torch.tensor(values, requires_grad=True)
    function(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize(
    ("function", "at", "expected"),
    [
        (torch.relu, (0.0,), [0]),
        (lambda x: F.leaky_relu(x, 0.25), (0.0,), [0.25]),
        (lambda x: F.prelu(x, torch.tensor([0.25])), (0.0,), [0.25]),
        (torch.abs, (0.0,), [0]),
        (lambda x: F.hardtanh(x), (-1.0, 1.0), [0, 0]),
        (lambda x: torch.relu(1 - x), (1.0,), [0]),
        (lambda x: x.amax(0), (1.0, 1.0), [0.5, 0.5]),
        (torch.max, (1.0, 1.0), [0.5, 0.5]),
        (lambda x: torch.maximum(x, torch.zeros(())), (0.0,), [0.5]),
        (lambda x: x.norm(), (0.0, 0.0), [0, 0]),
    ],
    ids=["relu", "leaky_relu", "prelu", "abs", "hardtanh", "hinge", "amax", "max", "maximum", "norm"],
)
def test_subgradient_of_torch_at_a_kink(function, at, expected):
    assert slope(function, *at) == expected


def test_max_over_a_dimension_gives_all_to_one_of_the_ties():
    assert sorted(slope(lambda x: x.max(0).values, 1.0, 1.0, 1.0)) == [0, 0, 1]


def test_clamp_at_its_bounds_depends_on_the_version_of_torch():
    assert slope(lambda x: x.clamp(-1, 1), -1.0, 1.0) in ([0, 0], [1, 1])
