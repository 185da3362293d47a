import pytest
import torch

from gancore_penalties.wgan_gp import WganGp

REAL = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
FAKE = torch.tensor([[3.0, 0.0], [1.0, 1.0]], dtype=torch.float64)


def test_a_linear_d_pays_its_distance_from_slope_one(discriminators, phase, context):
    D = discriminators["linear"](torch.tensor([3.0, -4.0], dtype=torch.float64))
    paid = WganGp(weight=0.5).penalty(phase(D, REAL, FAKE), context())
    torch.testing.assert_close(paid, torch.tensor(8.0, dtype=torch.float64))  # 0.5 (5 - 1)^2


def test_a_slope_below_one_is_penalised_too(discriminators, phase, context):
    D = discriminators["linear"](torch.tensor([0.3, 0.4], dtype=torch.float64))
    paid = WganGp().penalty(phase(D, REAL, FAKE), context())
    torch.testing.assert_close(paid, torch.tensor(2.5, dtype=torch.float64))  # 10 (0.5 - 1)^2


def test_a_flat_d_pays_the_whole_weight(discriminators, phase, context):
    D = discriminators["linear"](torch.zeros(2, dtype=torch.float64))
    paid = WganGp().penalty(phase(D, REAL, FAKE), context())
    torch.testing.assert_close(paid, torch.tensor(10.0, dtype=torch.float64), rtol=1e-5, atol=0)


def test_against_a_reference_with_the_same_draw(discriminators, phase, context):
    A = torch.tensor([[2.0, 0.5], [0.5, -1.0]], dtype=torch.float64)
    e = torch.rand(2, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    between = e * REAL + (1 - e) * FAKE
    expected = 10 * ((torch.linalg.vector_norm(between @ A, dim=1) - 1) ** 2).mean()
    paid = WganGp().penalty(phase(discriminators["quadratic"](A), REAL, FAKE), context(5))
    torch.testing.assert_close(paid, expected)


def test_each_sample_has_one_draw_for_all_of_its_pixels(discriminators, phase, context):
    # Reals at 0 and fakes at 1: a point on the line between has all coordinates equal. D's slope at x is A x,
    # and A takes differences of coordinates, so that only points off the line have any.
    A = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    zeros, ones = torch.zeros(8, 2, dtype=torch.float64), torch.ones(8, 2, dtype=torch.float64)
    paid = WganGp(weight=1.0).penalty(phase(discriminators["quadratic"](A), zeros, ones), context())
    torch.testing.assert_close(paid, torch.tensor(1.0, dtype=torch.float64), rtol=1e-5, atol=0)


def test_the_points_between_are_given_the_reals_labels(discriminators, phase, context):
    D = discriminators["by_label"](torch.tensor([[2.0, 0.0], [0.0, 9.0]], dtype=torch.float64))
    shown = phase(D, REAL, FAKE, torch.tensor([0, 0]), torch.tensor([1, 1]))
    paid = WganGp(weight=1.0).penalty(shown, context())
    torch.testing.assert_close(paid, torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize(("distance", "weight", "slope", "optimum"), [(2.0, 1.0, 2.0, 3.0), (0.5, 0.1, 3.5, 1.125)])
def test_the_best_critic_of_two_point_masses(distance, weight, slope, optimum, discriminators, phase, context):
    """E D(real) - E D(fake) - penalty has its maximum d + d^2 / (4 w) at slope 1 + d / (2 w)."""
    real, fake = torch.tensor([[distance]]).double(), torch.tensor([[0.0]]).double()
    D = discriminators["linear"](torch.tensor([0.5], dtype=torch.float64))
    optimizer = torch.optim.SGD(D.parameters(), lr=0.4 / weight)
    for _ in range(100):
        optimizer.zero_grad()
        value = (D(real) - D(fake)).mean() - WganGp(weight=weight).penalty(phase(D, real, fake), context())
        (-value).backward()
        optimizer.step()
    assert D.a.item() == pytest.approx(slope, abs=1e-9)
    assert value.item() == pytest.approx(optimum, abs=1e-9)
