import torch

from gancore_penalties.dragan import Dragan

REAL = torch.tensor([[1.0, -1.0], [0.5, 2.0], [0.0, 3.0]], dtype=torch.float64)
FAKE = torch.full((3, 2), torch.nan, dtype=torch.float64)  # never looked at


def test_a_linear_d_pays_its_distance_from_slope_one(discriminators, phase, context):
    D = discriminators["linear"](torch.tensor([3.0, -4.0], dtype=torch.float64))
    paid = Dragan(weight=0.5).penalty(phase(D, REAL, FAKE), context())
    torch.testing.assert_close(paid, torch.tensor(8.0, dtype=torch.float64))  # 0.5 (5 - 1)^2


def test_against_a_reference_with_the_same_draw(discriminators, phase, context):
    A = torch.tensor([[2.0, 0.5], [0.5, -1.0]], dtype=torch.float64)
    u = torch.rand(3, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    std = ((REAL - REAL.sum() / 6) ** 2).sum().div(6).sqrt()
    slopes = (REAL + 0.5 * std * u) @ A
    expected = 10 * (((slopes**2).sum(1).sqrt() - 1) ** 2).mean()
    paid = Dragan().penalty(phase(discriminators["quadratic"](A), REAL, FAKE), context(5))
    torch.testing.assert_close(paid, expected)


def test_without_spread_it_looks_at_the_reals_themselves(discriminators, phase, context):
    D = discriminators["quadratic"](torch.eye(2, dtype=torch.float64))
    real = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64)
    paid = Dragan(weight=1.0, spread=0.0).penalty(phase(D, real, FAKE[:2]), context())
    torch.testing.assert_close(paid, torch.tensor(8.5, dtype=torch.float64))  # (16 + 1) / 2


def test_a_batch_of_one_number_has_no_spread_and_no_nan(discriminators, phase, context):
    D = discriminators["linear"](torch.tensor([3.0], dtype=torch.float64))
    paid = Dragan(weight=1.0).penalty(phase(D, torch.ones(1, 1).double(), FAKE[:1, :1]), context())
    torch.testing.assert_close(paid, torch.tensor(4.0, dtype=torch.float64))


def test_the_points_are_given_the_reals_labels(discriminators, phase, context):
    D = discriminators["by_label"](torch.tensor([[2.0, 0.0], [0.0, 4.0]], dtype=torch.float64))
    paid = Dragan(weight=1.0).penalty(phase(D, REAL, FAKE, torch.tensor([0, 1, 1])), context())
    torch.testing.assert_close(paid, torch.tensor(19 / 3, dtype=torch.float64))  # (1 + 9 + 9) / 3
