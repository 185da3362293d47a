"""Left out of a traced phase: what is known to be zero. The results stay the same."""

import pytest
import torch
from torch import nn

from gancore.training.simplify import simplify
from tests.training.graphs import count, rand, traced

aten = torch.ops.aten
ACTIVATIONS = {"leaky relu": nn.LeakyReLU(0.2), "relu": nn.ReLU(), "tanh": nn.Tanh(), "elu": nn.ELU()}


def critic(kind, activation):
    torch.manual_seed(0)
    if kind == "mlp":
        layers = [nn.Linear(5, 7), activation, nn.Linear(7, 6), activation, nn.Linear(6, 1)]
        return nn.Sequential(*layers).double(), rand(4, 5)
    layers = [nn.Conv2d(2, 3, 3, 2, 1), activation, nn.Conv2d(3, 4, 3, 2, 1), activation, nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(16, 1)).double(), rand(4, 2, 8, 8)


def penalised(network):
    """The gradients of a critic's loss with a gradient penalty: by parameters and points, flat."""
    parameters = [parameter.detach() for parameter in network.parameters()]

    def function(x, *given):
        given = [value.detach().requires_grad_() for value in given]
        names = [name for name, _ in network.named_parameters()]
        x = x.detach().requires_grad_()
        of_reals, of_points = (
            torch.func.functional_call(network, dict(zip(names, given, strict=True)), (z,)) for z in (2 * x, x)
        )
        (slope,) = torch.autograd.grad(of_points.sum(), x, create_graph=True)
        total = of_reals.mean() + (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return torch.autograd.grad(total, given)

    return function, parameters


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradients_of_a_penalised_critic_stay_the_same(kind, activation):
    network, x = critic(kind, ACTIVATIONS[activation])
    function, parameters = penalised(network)
    graph = traced(function, x, *parameters)
    expected = graph(x, *parameters)
    before = count(graph, aten.mm.default, aten.convolution_backward.default)
    simplify(graph)
    found = graph(x, *parameters)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    after = count(graph, aten.mm.default, aten.convolution_backward.default)
    if "relu" in activation:  # the second derivative of a line is 0
        assert after <= before - (3 if kind == "mlp" else 2)
        assert not count(graph, aten.zeros_like.default)


def test_zeros_that_are_written_to_are_no_zeros():
    def function(x):
        whole, part = torch.zeros_like(x), torch.zeros_like(x)
        whole.add_(x)
        part[0].copy_(x[0])
        return whole @ x, part @ x

    x = rand(3, 3)
    graph = simplify(traced(function, x))
    assert count(graph, aten.mm.default) == 2
    for ours, theirs in zip(graph(x), function(x), strict=True):
        assert torch.equal(ours, theirs)


def test_a_summand_that_changes_later_keeps_its_sum():
    def function(x):
        y = x * 2
        total = y + torch.zeros_like(x)
        y.mul_(3)
        return total + y

    x = rand(3, 3)
    assert torch.equal(simplify(traced(function, x))(x), function(x))


def test_what_is_given_back_is_nobody_elses_memory():
    """The caller may write to it: clip a gradient, update a weight."""

    def function(weight, x):
        y = x * 2
        return weight + torch.zeros_like(weight), y, y[1:] + torch.zeros_like(y[1:]), y + torch.zeros_like(y)

    weight, x = rand(3), rand(3, 3)
    graph = simplify(traced(function, weight, x))
    expected = [value.clone() for value in graph(weight, x)]
    found = graph(weight, x)
    for i, value in enumerate(found):
        value.fill_(i)
    for i, value in enumerate(found):
        assert torch.equal(value, torch.full_like(value, i))
    assert torch.equal(weight, rand(3))
    for ours, theirs in zip(expected, function(weight, x), strict=True):
        assert torch.equal(ours, theirs)


def test_running_statistics_are_written():
    def function(x, mean, variance):
        before = mean + torch.zeros_like(mean)
        y = torch.nn.functional.batch_norm(x, mean, variance, training=True)
        return before, torch.zeros(4, 4, dtype=x.dtype) @ y

    x, given = rand(4, 3), (torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    graph = simplify(traced(function, x, *given))
    ours, theirs = [[value.clone() for value in given] for _ in range(2)]
    for a, b in zip(graph(x, *ours), function(x, *theirs), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


def test_a_sum_with_zeros_that_makes_it_larger_is_a_sum():
    def function(x):
        return x[0] + torch.zeros_like(x), x.t() + torch.zeros(3, 3, dtype=x.dtype), x.float() + torch.zeros_like(x)

    x = rand(3, 3)
    for ours, theirs in zip(simplify(traced(function, x))(x), function(x), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()


def test_zeros_that_are_asked_for_are_given():
    x = rand(3, 3)
    graph = simplify(traced(lambda x: (torch.zeros_like(x) @ x, torch.zeros_like(x) - x), x))
    assert not count(graph, aten.mm.default)
    zeros, negative = graph(x)
    assert torch.equal(zeros, torch.zeros_like(x))
    assert torch.equal(negative, -x)


def test_nothing_divided_by_nothing_is_not_hidden():
    def function(x):
        return torch.zeros_like(x) / (x - x), torch.zeros_like(x) / 2

    by_nothing, by_two = simplify(traced(function, rand(3)))(rand(3))
    assert by_nothing.isnan().all()
    assert (by_two == 0).all()
