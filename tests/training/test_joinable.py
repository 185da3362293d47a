"""What a compiler would call a library for, in operators that it can join. The results stay the same."""

import pytest
import torch

from gancore.training.joinable import joinable
from tests.training.graphs import count, rand, traced

aten = torch.ops.aten


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms_are_sums(dtype):
    def function(x, y):
        norm = torch.linalg.vector_norm
        each = torch._foreach_norm([x, y], 2, dtype)
        largest = torch._foreach_norm([x, y], torch.inf)
        over = norm(x, dim=1), norm(x, dim=0, keepdim=True), norm(x), norm(x, dtype=dtype), norm(x, 3)
        absolute = norm(x, 1), norm(y, 1, dim=0, dtype=dtype)
        return [*each, *largest, *over, *absolute, *torch._foreach_norm([y])]

    x, y = rand(3, 4).float(), rand(5).float()
    graph = joinable(traced(function, x, y))
    assert count(graph, aten.linalg_vector_norm.default) == 1  # the one of order 3
    assert count(graph, aten._foreach_norm.Scalar) == 1  # the largest
    for ours, theirs in zip(graph(x, y), function(x, y), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_outer_product_is_no_matrix_product():
    def function(a, b):
        return a @ b

    a, b = rand(4, 1), rand(1, 5)
    graph = joinable(traced(function, a, b))
    assert not count(graph, aten.mm.default)
    assert torch.equal(graph(a, b), function(a, b))


@pytest.mark.parametrize(("rows", "columns"), [(1, 5), (5, 1), (1, 1)])
def test_a_product_with_a_row_or_a_column_is_a_sum(rows, columns):
    def function(a, b):
        return a @ b, a @ b.t().contiguous().t()

    a, b = rand(rows, 4), rand(4, columns)
    graph = joinable(traced(function, a, b))
    assert not count(graph, aten.mm.default)
    for ours, theirs in zip(graph(a, b), function(a, b), strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.shape == theirs.shape


def test_nothing_is_added_to_a_product_before_it_is_computed():
    """By a library, which copies it there."""

    def function(x, y, weight, bias):
        linear = torch.nn.functional.linear(x, weight, bias)
        accumulated = y + x @ weight.t()
        return linear, accumulated, x @ weight.t() + y, torch.addmm(y, x, weight.t())

    x, y, weight, bias = rand(3, 4), rand(3, 5), rand(5, 4), rand(5)
    graph = joinable(traced(function, x, y, weight, bias))
    assert not count(graph, aten.addmm.default, aten.add.Tensor)
    assert count(graph, aten.mm.default) == 4
    for ours, theirs in zip(graph(x, y, weight, bias), function(x, y, weight, bias), strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.stride() == theirs.stride()


def test_what_else_a_library_adds_is_left_to_it():
    def function(x, y, weight):
        return (
            torch.addmm(y, x, weight, alpha=0.5),
            torch.addmm(y, x, weight, beta=2),
            torch.add(x @ weight, y, alpha=3),
            y.t().contiguous().t() + x @ weight,  # which lies as neither a product nor a difference does
        )

    x, y, weight = rand(3, 4), rand(3, 5), rand(4, 5)
    graph = joinable(traced(function, x, y, weight))
    assert count(graph, aten.addmm.default) == 2
    assert count(graph, aten.add.Tensor) == 2
    for ours, theirs in zip(graph(x, y, weight), function(x, y, weight), strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.stride() == theirs.stride()


def test_a_number_added_to_a_product_stays_one():
    def function(a, b):
        return a @ b + 1.0

    graph = joinable(traced(function, rand(3, 4), rand(4, 5)))
    assert count(graph, aten.add.Tensor) == 1


def test_what_is_changed_in_place_afterwards_is_still_changed():
    def function(x, weight, bias, last):
        hidden = torch.nn.functional.linear(x, weight, bias).relu_()
        return torch.nn.functional.leaky_relu_(hidden @ last), hidden

    given = rand(5, 4), rand(3, 4), rand(3), rand(3, 1)
    for ours, theirs in zip(joinable(traced(function, *given))(*given), function(*given), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_is_made_in_the_phase_may_be_added():
    def function(x, weight):
        return x @ weight + torch.tensor([1.0, 2.0], dtype=x.dtype)

    given = rand(5, 4), rand(4, 2)
    graph = joinable(traced(function, *given))
    assert count(graph, aten.sub.Tensor) == 1
    torch.testing.assert_close(graph(*given), function(*given))


def test_an_infinite_bias_stays_one():
    """The difference from what is opposite is the sum, whatever it is."""

    def function(x, weight, bias):
        return torch.nn.functional.linear(x, weight, bias)

    bias = torch.tensor([torch.inf, -torch.inf, torch.nan, -0.0], dtype=torch.float64)
    x, weight = rand(2, 3), rand(4, 3)
    graph = joinable(traced(function, x, weight, bias))
    torch.testing.assert_close(graph(x, weight, bias), function(x, weight, bias), equal_nan=True)
