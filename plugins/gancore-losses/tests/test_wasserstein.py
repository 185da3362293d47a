import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore_losses.wasserstein import Wasserstein


def test_hand_computed():
    real, fake = torch.tensor([1.0, 5.0]), torch.tensor([-2.0, 4.0])
    assert Wasserstein().discriminator(real, fake).item() == -2.0
    assert Wasserstein().generator(None, fake).item() == -1.0


@given(shift=st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_ds_side_knows_differences_only(shift):
    real = torch.tensor([1.0, 5.0], dtype=torch.float64)
    fake = torch.tensor([-2.0, 4.0], dtype=torch.float64)
    shifted = Wasserstein().discriminator(real + shift, fake + shift)
    torch.testing.assert_close(shifted, torch.tensor(-2.0, dtype=torch.float64))


def test_for_a_lipschitz_critic_it_is_minus_the_distance_of_two_point_masses():
    real, fake = torch.tensor([3.0]), torch.tensor([0.5])  # D(x) = x on points 3 and 0.5
    assert -Wasserstein().discriminator(real, fake).item() == 2.5
