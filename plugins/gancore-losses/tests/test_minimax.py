import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore_losses.minimax import Minimax
from gancore_losses.nonsaturating import Nonsaturating

scores = st.lists(st.floats(-30, 30), min_size=1, max_size=6)


def test_undecided_scores_cost_d_two_log_two_and_g_minus_log_two():
    zero = torch.zeros(3, dtype=torch.float64)
    assert Minimax().discriminator(zero, zero).item() == 2 * math.log(2)
    assert Minimax().generator(None, zero).item() == -math.log(2)


def test_hand_computed():
    # sigmoid(log 3) = 3/4, sigmoid(-log 4) = 1/5, so D: -log 3/4 - log 4/5 = log 5/3 and G: log 4/5.
    real, fake = torch.tensor([math.log(3)]), torch.tensor([-math.log(4)])
    torch.testing.assert_close(Minimax().discriminator(real, fake), torch.tensor(0.5108256))
    torch.testing.assert_close(Minimax().generator(None, fake), torch.tensor(-0.2231436))


@given(real=scores, fake=scores)
@settings(max_examples=30, deadline=None)
def test_it_is_equation_1_on_probabilities(real, fake):
    real, fake = torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)
    # 1 - sigmoid(s) as 1 / (1 + exp(s)): the subtraction itself would lose every digit at s = 30.
    log_d, log_not_d = torch.log(1 / (1 + torch.exp(-real))), torch.log(1 / (1 + torch.exp(fake)))
    torch.testing.assert_close(Minimax().discriminator(real, fake), -log_d.mean() - log_not_d.mean())
    torch.testing.assert_close(Minimax().generator(None, fake), log_not_d.mean())


def test_it_is_a_zero_sum_game_in_the_fakes():
    fake = torch.tensor([-1.5, 0.2, 3.0], dtype=torch.float64, requires_grad=True)
    real = torch.zeros(3, dtype=torch.float64)
    (of_d,) = torch.autograd.grad(Minimax().discriminator(real, fake), fake)
    (of_g,) = torch.autograd.grad(Minimax().generator(None, fake), fake)
    torch.testing.assert_close(of_g, -of_d)


def test_its_generator_saturates_where_d_is_sure_and_the_remedy_does_not():
    slopes = {}
    for loss in (Minimax(), Nonsaturating()):
        fake = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
        loss.generator(None, fake).backward()
        slopes[type(loss)] = -fake.grad.item()
    assert math.isclose(slopes[Minimax], 2.0611536e-9, rel_tol=1e-6)  # sigmoid(-20)
    assert math.isclose(slopes[Nonsaturating], 1 - 2.0611536e-9, rel_tol=1e-12)
