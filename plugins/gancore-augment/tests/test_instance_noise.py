import cmath

import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from gancore_augment.instance_noise import InstanceNoise


def added(noise, context, shape=(200, 3, 8, 8)):
    return noise.discriminator_inputs(torch.zeros(shape, dtype=torch.float64), context)


def test_at_the_first_step_the_noise_is_standard_normal_times_sigma(context):
    n = added(InstanceNoise(sigma=0.3), context())
    assert n.std().item() == pytest.approx(0.3, rel=0.02)
    assert n.mean().item() == pytest.approx(0.0, abs=0.01)


def test_it_is_added_and_drawn_from_the_components_own_stream(context):
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))
    drawn = torch.randn(4, 2, generator=torch.Generator().manual_seed(9))
    before = torch.get_rng_state()
    shown = InstanceNoise(sigma=0.5).discriminator_inputs(x, context(9))
    torch.testing.assert_close(shown, x + 0.5 * drawn)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("step", "share"), [(0, 1), (25, 0.75), (50, 0.5), (99, 0.01), (100, 0), (150, 0)])
def test_it_falls_linearly_to_zero_at_the_end_of_the_run(step, share, context):
    whole = added(InstanceNoise(), context())
    torch.testing.assert_close(added(InstanceNoise(), context(step=step)), share * whole, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize(("step", "share"), [(0, 1), (10, 0.5), (20, 0), (80, 0)])
def test_until_is_the_share_of_the_run_after_which_it_is_gone(step, share, context):
    noise = InstanceNoise(until=0.2)
    torch.testing.assert_close(added(noise, context(step=step)), share * added(noise, context()), rtol=1e-4, atol=1e-12)


def test_until_far_beyond_the_run_it_hardly_falls(context):
    noise = InstanceNoise(until=1e9)
    assert torch.equal(added(noise, context(step=100)), added(noise, context()))


def test_gone_means_that_the_samples_are_shown_bit_by_bit(context):
    x = torch.randn(5, 2)
    assert torch.equal(InstanceNoise().discriminator_inputs(x, context(step=100)), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_stays(dtype, context):
    assert InstanceNoise().discriminator_inputs(torch.zeros(2, 3, dtype=dtype), context()).dtype == dtype


def test_gradients_pass_unchanged(context):
    x = torch.zeros(2, 3, requires_grad=True)
    InstanceNoise().discriminator_inputs(x, context()).sum().backward()
    assert x.grad.tolist() == [[1.0] * 3] * 2


def test_it_gives_the_dirac_gan_the_eigenvalues_of_the_closed_form(context):
    """f'' s^2 +- sqrt(f''^2 s^4 - f'^2) with f'(0) = 1/2, f''(0) = -1/4 (Mescheder et al. 2018)."""
    s, n = 1.5, 40_000
    noise, stream = InstanceNoise(sigma=s), context()
    softplus = nn.functional.softplus

    def field(point):
        psi, theta = point
        real = noise.discriminator_inputs(torch.zeros(n, 1, dtype=torch.float64), stream)
        fake = noise.discriminator_inputs(theta.expand(n, 1), stream)
        of_d = softplus(-psi * real).mean() + softplus(psi * fake).mean()
        of_g = softplus(-psi * fake).mean()
        (by_psi,) = torch.autograd.grad(of_d, psi, create_graph=True)
        (by_theta,) = torch.autograd.grad(of_g, theta, create_graph=True)
        return -torch.stack([by_psi, by_theta])

    J = jacobian(field, torch.zeros(2, dtype=torch.float64))
    root = cmath.sqrt(s**4 / 16 - 1 / 4)
    for expected in (-(s**2) / 4 + root, -(s**2) / 4 - root):
        assert min(abs(complex(value) - expected) for value in torch.linalg.eigvals(J)) < 0.02


@pytest.mark.parametrize("options", [{"sigma": -0.1}, {"until": 0.0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        InstanceNoise(**options)
