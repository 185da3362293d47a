import torch

from gancore_losses.hinge import Hinge


def test_hand_computed():
    real, fake = torch.tensor([0.5, 3.0]), torch.tensor([-0.5, -4.0])
    # D: (0.5 + 0)/2 + (0.5 + 0)/2;  G: (0.5 + 4)/2.
    assert Hinge().discriminator(real, fake).item() == 0.5
    assert Hinge().generator(None, fake).item() == 2.25


def test_beyond_the_margin_d_has_exactly_no_gradient_and_within_it_a_constant_one():
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    fake = torch.tensor([-1.5, -0.5], requires_grad=True)
    Hinge().discriminator(real, fake).backward()
    assert real.grad.tolist() == [0.0, -0.5]
    assert fake.grad.tolist() == [0.0, 0.5]


def test_gs_gradient_is_the_same_at_any_score():
    fake = torch.tensor([-50.0, 0.0, 50.0, 7.0], requires_grad=True)
    Hinge().generator(None, fake).backward()
    assert fake.grad.tolist() == [-0.25] * 4
