import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore_losses.relativistic import Relativistic

pairs = st.lists(st.tuples(st.floats(-15, 15), st.floats(-15, 15)), min_size=1, max_size=6)


def test_hand_computed():
    # Differences of log 3: sigmoid 3/4 for D, 1/4 for G.
    real, fake = torch.tensor([math.log(3) + 2]), torch.tensor([2.0])
    torch.testing.assert_close(Relativistic().discriminator(real, fake), torch.tensor(0.2876821))
    torch.testing.assert_close(Relativistic().generator(real, fake), torch.tensor(1.3862944))


@given(pairs=pairs)
@settings(max_examples=30, deadline=None)
def test_it_is_minus_log_sigmoid_of_the_difference_of_each_pair(pairs):
    real, fake = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    of_d, of_g = torch.log(torch.sigmoid(real - fake)), torch.log(torch.sigmoid(fake - real))
    torch.testing.assert_close(Relativistic().discriminator(real, fake), -of_d.mean())
    torch.testing.assert_close(Relativistic().generator(real, fake), -of_g.mean())


@given(pairs=pairs, shift=st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_a_shift_of_all_scores_changes_nothing(pairs, shift):
    real, fake = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    for side in (Relativistic().discriminator, Relativistic().generator):
        torch.testing.assert_close(side(real + shift, fake + shift), side(real, fake))


def test_g_is_d_with_the_roles_swapped():
    real, fake = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 4.0])
    assert Relativistic().generator(real, fake) == Relativistic().discriminator(fake, real)


def test_pairs_are_one_to_one_not_all_with_all():
    real, fake = torch.tensor([0.0, 10.0]), torch.tensor([0.0, 10.0])
    torch.testing.assert_close(Relativistic().discriminator(real, fake), torch.tensor(math.log(2)))


def test_it_needs_reals_on_gs_side():
    assert Relativistic.needs_real
