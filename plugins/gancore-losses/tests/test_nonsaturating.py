import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore_losses.minimax import Minimax
from gancore_losses.nonsaturating import Nonsaturating

scores = st.lists(st.floats(-30, 30), min_size=1, max_size=6)


def test_hand_computed():
    # sigmoid(log 3) = 3/4, sigmoid(-log 4) = 1/5, so D: -log 3/4 - log 4/5 = log 5/3 and G: -log 1/5.
    real, fake = torch.tensor([math.log(3)]), torch.tensor([-math.log(4)])
    torch.testing.assert_close(Nonsaturating().discriminator(real, fake), torch.tensor(0.5108256))
    torch.testing.assert_close(Nonsaturating().generator(None, fake), torch.tensor(1.6094379))


@given(fake=scores)
@settings(max_examples=30, deadline=None)
def test_g_maximises_the_log_probability_of_its_fakes(fake):
    fake = torch.tensor(fake, dtype=torch.float64)
    torch.testing.assert_close(Nonsaturating().generator(None, fake), -torch.log(torch.sigmoid(fake)).mean())


@given(real=scores, fake=scores)
@settings(max_examples=10, deadline=None)
def test_ds_side_is_minimax(real, fake):
    real, fake = torch.tensor(real), torch.tensor(fake)
    assert Nonsaturating().discriminator(real, fake) == Minimax().discriminator(real, fake)


def test_a_score_of_minus_ten_thousand_costs_ten_thousand():
    assert Nonsaturating().generator(None, torch.tensor([-1e4])).item() == 1e4
