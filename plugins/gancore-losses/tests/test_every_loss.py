"""What holds for every loss, whatever its formula."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from gancore_losses.hinge import Hinge
from gancore_losses.lsgan import LsGan
from gancore_losses.minimax import Minimax
from gancore_losses.nonsaturating import Nonsaturating
from gancore_losses.relativistic import Relativistic
from gancore_losses.wasserstein import Wasserstein
from gancore_losses.wgan_gp import WganGp

LOSSES = [Minimax(), Nonsaturating(), LsGan(), Hinge(), Wasserstein(), WganGp(), Relativistic()]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)

# No score at the hinge's kinks (-1 and 1), where there is no derivative to compare with.
REAL = torch.tensor([1.7, -0.4, 0.3, 2.5, -3.1], dtype=torch.float64)
FAKE = torch.tensor([-1.2, 0.8, 0.1, -2.2, 1.9], dtype=torch.float64)


@every_loss
def test_both_sides_are_scalars_in_the_dtype_of_the_scores(loss):
    for dtype in (torch.float32, torch.float64):
        real, fake = REAL.to(dtype), FAKE.to(dtype)
        for value in (loss.discriminator(real, fake), loss.generator(real, fake)):
            assert value.shape == ()
            assert value.dtype == dtype


@every_loss
def test_derivatives_agree_with_finite_differences(loss):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    assert gradcheck(loss.discriminator, (real, fake))
    assert gradgradcheck(loss.discriminator, (real, fake))
    if loss.needs_real:
        assert gradcheck(loss.generator, (real, fake))
    else:
        assert gradcheck(lambda f: loss.generator(None, f), (fake,))


@every_loss
@given(order=st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_pairs_changes_nothing(loss, order):
    real, fake = REAL[list(order)], FAKE[list(order)]
    torch.testing.assert_close(loss.discriminator(real, fake), loss.discriminator(REAL, FAKE))
    torch.testing.assert_close(loss.generator(real, fake), loss.generator(REAL, FAKE))


@every_loss
def test_a_batch_twice_as_long_with_the_same_pairs_has_the_same_loss(loss):
    real, fake = REAL.repeat(2), FAKE.repeat(2)
    torch.testing.assert_close(loss.discriminator(real, fake), loss.discriminator(REAL, FAKE))
    torch.testing.assert_close(loss.generator(real, fake), loss.generator(REAL, FAKE))


@every_loss
def test_g_does_without_reals_unless_it_says_it_needs_them(loss):
    if loss.needs_real:
        assert loss.generator(REAL, FAKE) != loss.generator(REAL + 1, FAKE)
    else:
        assert loss.generator(None, FAKE) == loss.generator(REAL, FAKE)


@every_loss
@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_scores_have_finite_losses_and_gradients(loss, sign):
    real = torch.full((2,), sign * 1e4, requires_grad=True)
    fake = torch.full((2,), -sign * 1e4, requires_grad=True)
    total = loss.discriminator(real, fake) + loss.generator(real, fake)
    total.backward()
    assert total.isfinite()
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()


@every_loss
def test_d_is_better_off_with_reals_above_fakes(loss):
    above, below = torch.full((3,), 0.5), torch.full((3,), -0.5)
    assert loss.discriminator(above, below) < loss.discriminator(below, above)


@every_loss
def test_g_wants_higher_scores_for_its_fakes(loss):
    fake = torch.full((3,), -0.5, requires_grad=True)
    loss.generator(torch.zeros(3), fake).backward()
    assert (fake.grad < 0).all()


@every_loss
def test_a_nan_score_is_not_masked(loss):
    scores = torch.tensor([0.5, torch.nan])
    assert loss.discriminator(scores, torch.zeros(2)).isnan()
    assert loss.discriminator(torch.zeros(2), scores).isnan()
    assert loss.generator(torch.zeros(2), scores).isnan()
