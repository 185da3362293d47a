"""What holds for every penalty, whatever its formula."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from gancore_penalties.dragan import Dragan
from gancore_penalties.r1 import R1
from gancore_penalties.r2 import R2
from gancore_penalties.wgan_gp import WganGp

PENALTIES = [R1, R2, WganGp, Dragan]
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.__name__)


def batches(seed=0, shape=(5, 3)):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, generator=rng, dtype=torch.float64)


@every_penalty
def test_first_and_second_derivatives_by_ds_parameters_agree_with_finite_differences(
    penalty, discriminators, phase, context
):
    real, fake = batches()
    rng = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True) for shape in ((3, 4), (4,), (4,))
    ]

    def value(inner, bias, outer):
        D = discriminators["tanh"](inner, bias, outer)
        return penalty().penalty(phase(D, real, fake), context(7))

    assert gradcheck(value, weights)
    assert gradgradcheck(value, weights, atol=1e-4)


@every_penalty
def test_images_count_as_their_flattened_pixels(penalty, discriminators, phase, context):
    real, fake = batches(shape=(4, 3, 2, 2))
    D = discriminators["linear"](torch.linspace(-1, 1, 12, dtype=torch.float64))
    as_images = penalty().penalty(phase(D, real, fake), context(3))
    as_vectors = penalty().penalty(phase(D, real.flatten(1), fake.flatten(1)), context(3))
    torch.testing.assert_close(as_images, as_vectors)


@every_penalty
def test_a_flat_discriminator_has_a_finite_gradient(penalty, discriminators, phase, context):
    real, fake = batches()
    D = discriminators["linear"](torch.zeros(3, dtype=torch.float64))
    penalty().penalty(phase(D, real, fake), context()).backward()
    assert D.a.grad.isfinite().all()


@every_penalty
def test_nothing_flows_back_into_the_samples(penalty, discriminators, phase, context):
    real, fake = (batch.clone().requires_grad_() for batch in batches())
    D = discriminators["quadratic"](torch.eye(3, dtype=torch.float64))
    penalty().penalty(phase(D, real, fake), context()).backward()
    assert real.grad is None
    assert fake.grad is None
    assert D.A.grad is not None


@every_penalty
def test_batches_of_two_sizes_are_averaged_not_summed(penalty, discriminators, phase, context):
    real, fake = batches()
    D = discriminators["linear"](torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64))
    one = penalty().penalty(phase(D, real[:1], fake[:1]), context())
    many = penalty().penalty(phase(D, real, fake), context())
    torch.testing.assert_close(one, many)


@every_penalty
def test_the_same_stream_gives_the_same_bits(penalty, discriminators, phase, context):
    real, fake = batches()
    D = discriminators["quadratic"](torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)))
    first, second = (penalty().penalty(phase(D, real, fake), context(11)) for _ in range(2))
    assert first == second


@every_penalty
def test_torchs_global_generator_is_left_alone(penalty, discriminators, phase, context):
    real, fake = batches()
    before = torch.get_rng_state()
    penalty().penalty(phase(discriminators["linear"](torch.ones(3).double()), real, fake), context())
    assert torch.equal(torch.get_rng_state(), before)


@every_penalty
def test_it_is_for_d_and_runs_on_every_phase_unless_told_otherwise(penalty):
    assert (penalty().on, penalty().every) == ("discriminator", 1)
    assert penalty(every=16).every == 16


@every_penalty
def test_a_period_below_one_is_refused(penalty):
    with pytest.raises(ValueError, match="every"):
        penalty(every=0)


@pytest.mark.parametrize(
    ("penalty", "name"),
    [(R1, "gamma"), (R2, "gamma"), (WganGp, "weight"), (Dragan, "weight"), (Dragan, "spread")],
)
def test_negative_strengths_are_refused(penalty, name):
    with pytest.raises(ValueError, match=name):
        penalty(**{name: -0.1})
