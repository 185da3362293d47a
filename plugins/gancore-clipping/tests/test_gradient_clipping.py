import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import Parameter

from gancore_clipping.gradient_clipping import GradientClipping

INF, NAN = torch.inf, torch.nan
numbers = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=6)

# --------------------------------------------------------------------------------------------------- by norm


def test_by_norm_scales_everything_to_a_total_norm_of_one(with_gradients, context):
    parameters = with_gradients([torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])])
    report = GradientClipping().gradients_ready(parameters, context)
    torch.testing.assert_close(parameters[0].grad, torch.tensor([0.6, 0.0]))
    torch.testing.assert_close(parameters[1].grad, torch.tensor([[0.8]]))
    assert report == {"norm": torch.tensor(5.0), "clipped": torch.tensor(1.0)}


def test_by_norm_leaves_smaller_gradients_bit_by_bit(with_gradients, context):
    parameters = with_gradients([torch.tensor([0.1, -0.7])])
    report = GradientClipping(limit=2.0).gradients_ready(parameters, context)
    assert torch.equal(parameters[0].grad, torch.tensor([0.1, -0.7]))
    assert report["clipped"] == 0


def test_by_norm_leaves_zero_gradients_zero(with_gradients, context):
    parameters = with_gradients([torch.zeros(3)])
    report = GradientClipping().gradients_ready(parameters, context)
    assert parameters[0].grad.tolist() == [0, 0, 0]
    assert report == {"norm": torch.tensor(0.0), "clipped": torch.tensor(0.0)}


@given(values=numbers, limit=st.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_by_norm_keeps_the_direction_and_the_limit(values, limit):
    p = Parameter(torch.zeros(len(values), dtype=torch.float64))
    gradient = torch.tensor(values, dtype=torch.float64)
    p.grad = gradient.clone()
    norm = GradientClipping(limit=limit).gradients_ready([p], None)["norm"]
    torch.testing.assert_close(norm, gradient.square().sum().sqrt())
    torch.testing.assert_close(p.grad * norm.clamp(min=limit), gradient * limit)
    assert p.grad.norm() <= limit * (1 + 1e-12)


@pytest.mark.parametrize("bad", [INF, -INF, NAN])
def test_by_norm_neither_hides_nor_spreads_a_non_finite_gradient(bad, with_gradients, context):
    parameters = with_gradients([torch.tensor([5.0, bad]), torch.tensor([7.0])])
    report = GradientClipping().gradients_ready(parameters, context)
    torch.testing.assert_close(parameters[0].grad, torch.tensor([5.0, bad]), equal_nan=True, rtol=0, atol=0)
    assert parameters[1].grad.tolist() == [7.0]
    assert not report["norm"].isfinite()
    assert report["clipped"] == 0


def test_a_norm_that_overflows_does_not_turn_gradients_into_zeros(with_gradients, context):
    parameters = with_gradients([torch.full((4,), 3e38)])
    report = GradientClipping().gradients_ready(parameters, context)
    assert parameters[0].grad.tolist() == torch.full((4,), 3e38).tolist()
    assert report["norm"].isinf()


# -------------------------------------------------------------------------------------------------- by value


def test_by_value_clamps_every_element_and_reports_the_share(with_gradients, context):
    parameters = with_gradients([torch.tensor([0.5, -0.001]), torch.tensor([[-3.0, 0.01]])])
    report = GradientClipping(by="value").gradients_ready(parameters, context)
    torch.testing.assert_close(parameters[0].grad, torch.tensor([0.01, -0.001]))
    torch.testing.assert_close(parameters[1].grad, torch.tensor([[-0.01, 0.01]]))
    assert report["clipped"] == 0.5
    torch.testing.assert_close(report["norm"], torch.tensor(3.0413979))  # sqrt(0.25 + 1e-6 + 9 + 1e-4)


def test_by_value_takes_the_limit(with_gradients, context):
    parameters = with_gradients([torch.tensor([0.5, -3.0])])
    GradientClipping(by="value", limit=1.0).gradients_ready(parameters, context)
    assert parameters[0].grad.tolist() == [0.5, -1.0]


def test_by_value_leaves_what_is_not_finite(with_gradients, context):
    parameters = with_gradients([torch.tensor([INF, -INF, NAN, 2.0])])
    report = GradientClipping(by="value", limit=1.0).gradients_ready(parameters, context)
    expected = torch.tensor([INF, -INF, NAN, 1.0])
    torch.testing.assert_close(parameters[0].grad, expected, equal_nan=True, rtol=0, atol=0)
    assert report["clipped"] == 0.25
    assert report["norm"].isnan()


# -------------------------------------------------------------------------------------------------- adaptive


def test_adaptive_limits_each_rows_gradient_to_a_share_of_its_weights_norm(with_gradients, context):
    weight = torch.tensor([[3.0, 4.0], [30.0, 40.0]])
    parameters = with_gradients([torch.tensor([[0.6, 0.8], [0.3, 0.4]])], [weight])
    report = GradientClipping(by="adaptive", limit=0.1).gradients_ready(parameters, context)
    # Rows allow 0.5 and 5; their gradients have norms 1 and 0.5.
    torch.testing.assert_close(parameters[0].grad, torch.tensor([[0.3, 0.4], [0.3, 0.4]]))
    assert report["clipped"] == 0.5


def test_adaptive_allows_a_hundredth_unless_told_otherwise(with_gradients, context):
    parameters = with_gradients([torch.tensor([[3.0, 4.0]])], [torch.tensor([[0.0, 2.0]])])
    GradientClipping(by="adaptive").gradients_ready(parameters, context)
    torch.testing.assert_close(parameters[0].grad, torch.tensor([[0.012, 0.016]]))


def test_adaptive_lets_units_at_zero_move(with_gradients, context):
    parameters = with_gradients([torch.tensor([[3.0, 4.0], [0.0, 0.0]])], [torch.zeros(2, 2)])
    GradientClipping(by="adaptive", limit=0.1).gradients_ready(parameters, context)
    torch.testing.assert_close(parameters[0].grad, torch.tensor([[0.6e-4, 0.8e-4], [0.0, 0.0]]))


def test_adaptive_takes_kernels_by_output_and_vectors_whole(with_gradients, context):
    kernel = torch.ones(3, 2, 2, 2)
    gradients = [kernel.clone(), torch.tensor([3.0, 4.0]), torch.tensor([[5.0], [12.0]])]
    weights = [
        kernel * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1, 1),
        torch.tensor([0.0, 1.0]),
        torch.ones(2, 1),
    ]
    parameters = with_gradients(gradients, weights)
    report = GradientClipping(by="adaptive", limit=1.0).gradients_ready(parameters, context)
    torch.testing.assert_close(parameters[0].grad, kernel * torch.tensor([1.0, 1.0, 0.1]).view(3, 1, 1, 1))
    torch.testing.assert_close(parameters[1].grad, torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(parameters[2].grad, torch.tensor([[5.0], [12.0]]) * 2**0.5 / 13)
    torch.testing.assert_close(report["clipped"], torch.tensor(0.6))  # one kernel, both vectors, of five units


def test_adaptive_against_equation_3_in_float64(with_gradients, context):
    rng = torch.Generator().manual_seed(0)
    w, g = torch.randn(2, 7, 3, 2, generator=rng, dtype=torch.float64)
    (p,) = with_gradients([g], [w])
    GradientClipping(by="adaptive", limit=0.9).gradients_ready([p], context)
    for i in range(7):
        of_w, of_g = max((w[i] ** 2).sum().sqrt().item(), 1e-3), (g[i] ** 2).sum().sqrt().item()
        torch.testing.assert_close(p.grad[i], 0.9 * of_w / of_g * g[i] if of_g / of_w > 0.9 else g[i])


def test_adaptive_keeps_a_non_finite_unit_and_clips_the_others(with_gradients, context):
    parameters = with_gradients([torch.tensor([[1.0, INF], [NAN, 1.0], [3.0, 4.0]])], [torch.full((3, 2), 0.5**0.5)])
    report = GradientClipping(by="adaptive", limit=1.0).gradients_ready(parameters, context)
    expected = torch.tensor([[1.0, INF], [NAN, 1.0], [0.6, 0.8]])
    torch.testing.assert_close(parameters[0].grad, expected, equal_nan=True)
    torch.testing.assert_close(report["clipped"], torch.tensor(1 / 3))


# ------------------------------------------------------------------------------------------------------- all

every_rule = pytest.mark.parametrize("by", ["norm", "value", "adaptive"])


@every_rule
def test_reports_are_scalars_without_history(by, with_gradients, context):
    report = GradientClipping(by=by).gradients_ready(with_gradients([torch.ones(2, 2)]), context)
    assert set(report) == {"norm", "clipped"}
    for number in report.values():
        assert number.shape == ()
        assert number.dtype == torch.float32
        assert not number.requires_grad


@every_rule
def test_weights_are_not_touched(by, with_gradients, context):
    parameters = with_gradients([torch.full((2, 2), 9.0)])
    GradientClipping(by=by).gradients_ready(parameters, context)
    assert torch.equal(parameters[0], torch.ones(2, 2))


@every_rule
def test_gradients_are_changed_in_place(by, with_gradients, context):
    parameters = with_gradients([torch.full((2, 2), 9.0)])
    before = parameters[0].grad
    GradientClipping(by=by).gradients_ready(parameters, context)
    assert parameters[0].grad is before
    assert (before < 9).all()


@every_rule
def test_a_network_without_gradients_has_nothing_to_clip(by, context):
    report = GradientClipping(by=by).gradients_ready([], context)
    assert (report["norm"], report["clipped"]) == (0, 0)


def test_both_networks_by_norm_unless_told_otherwise():
    assert (GradientClipping().on, GradientClipping().by) == ("both", "norm")


@pytest.mark.parametrize("limit", [0.0, -1.0, NAN])
def test_a_limit_that_is_not_positive_is_refused(limit):
    with pytest.raises(ValueError, match="limit"):
        GradientClipping(limit=limit)
