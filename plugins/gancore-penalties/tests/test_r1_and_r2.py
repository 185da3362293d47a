import torch

from gancore_penalties.r1 import R1
from gancore_penalties.r2 import R2

REAL = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
FAKE = torch.tensor([[3.0, 0.0], [1.0, 1.0]])


def test_a_linear_d_pays_half_gamma_its_squared_slope(discriminators, phase, context):
    D = discriminators["linear"](torch.tensor([3.0, -4.0]))
    assert R1(gamma=2.0).penalty(phase(D, REAL, FAKE), context()).item() == 25.0
    assert R2(gamma=2.0).penalty(phase(D, REAL, FAKE), context()).item() == 25.0


def test_the_default_gamma_is_ten(discriminators, phase, context):
    D = discriminators["linear"](torch.tensor([1.0, 0.0]))
    assert R1().penalty(phase(D, REAL, FAKE), context()).item() == 5.0
    assert R2().penalty(phase(D, REAL, FAKE), context()).item() == 5.0


def test_r1_looks_at_reals_and_r2_at_fakes(discriminators, phase, context):
    D = discriminators["quadratic"](torch.diag(torch.tensor([2.0, 1.0])))
    # Slopes at reals (2, 0), (0, 2); at fakes (6, 0), (2, 1): squares 4, 4 and 36, 5.
    assert R1(gamma=1.0).penalty(phase(D, REAL, FAKE), context()).item() == 2.0
    assert R2(gamma=1.0).penalty(phase(D, REAL, FAKE), context()).item() == 10.25


def test_each_side_is_given_its_own_labels(discriminators, phase, context):
    D = discriminators["by_label"](torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]))
    shown = phase(D, REAL, FAKE, torch.tensor([0, 1]), torch.tensor([2, 2]))
    assert R1(gamma=2.0).penalty(shown, context()).item() == 2.5  # (1 + 4) / 2
    assert R2(gamma=2.0).penalty(shown, context()).item() == 9.0


def test_pixels_are_summed_not_averaged(discriminators, phase, context):
    D = discriminators["linear"](torch.ones(48))
    images = torch.zeros(2, 3, 4, 4)
    assert R1(gamma=2.0).penalty(phase(D, images, images), context()).item() == 48.0


def test_the_derivative_of_a_linear_ds_penalty_is_gamma_a(discriminators, phase, context):
    D = discriminators["linear"](torch.tensor([3.0, -4.0]))
    R1(gamma=0.5).penalty(phase(D, REAL, FAKE), context()).backward()
    assert D.a.grad.tolist() == [1.5, -2.0]


def test_against_finite_differences_of_the_score_in_float64(discriminators, phase, context):
    rng = torch.Generator().manual_seed(0)
    weights = [torch.randn(s, generator=rng, dtype=torch.float64) for s in ((3, 4), (4,), (4,))]
    x = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    D = discriminators["tanh"](*weights)
    h = 1e-6 * torch.eye(3, dtype=torch.float64)
    slopes = torch.stack([(D(x + h[i]) - D(x - h[i])) / 2e-6 for i in range(3)], dim=1)
    expected = 0.15 * (slopes**2).sum(1).mean()
    torch.testing.assert_close(R1(gamma=0.3).penalty(phase(D, x, -x), context()), expected, rtol=1e-7, atol=0)
    torch.testing.assert_close(R2(gamma=0.3).penalty(phase(D, -x, x), context()), expected, rtol=1e-7, atol=0)
