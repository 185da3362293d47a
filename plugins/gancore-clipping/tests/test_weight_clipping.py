import pytest
import torch
from torch import nn

from gancore_clipping.weight_clipping import WeightClipping


def update(clipping, parameters, context):
    with torch.no_grad():
        clipping.parameters_updated(parameters, context)


def test_every_weight_is_brought_within_a_hundredth(with_gradients, context):
    parameters = with_gradients([torch.zeros(3)], [torch.tensor([0.5, -0.02, 0.003])])
    update(WeightClipping(), parameters, context)
    torch.testing.assert_close(parameters[0].data, torch.tensor([0.01, -0.01, 0.003]))


def test_the_limit_is_an_option_and_biases_count(context):
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.bias.fill_(-2.0)
    update(WeightClipping(limit=0.5), list(layer.parameters()), context)
    assert layer.weight.unique().tolist() == [0.5]
    assert layer.bias.unique().tolist() == [-0.5]


def test_what_is_not_finite_stays_visible(with_gradients, context):
    weight = torch.tensor([torch.inf, -torch.inf, torch.nan, 1.0])
    parameters = with_gradients([torch.zeros(4)], [weight])
    update(WeightClipping(), parameters, context)
    expected = torch.tensor([torch.inf, -torch.inf, torch.nan, 0.01])
    torch.testing.assert_close(parameters[0].data, expected, equal_nan=True, rtol=0, atol=0)


def test_weights_keep_their_place_in_memory(with_gradients, context):
    parameters = with_gradients([torch.zeros(2)])
    address = parameters[0].data_ptr()
    update(WeightClipping(), parameters, context)
    assert parameters[0].data_ptr() == address


def test_a_linear_critic_is_lipschitz_afterwards(context):
    torch.manual_seed(0)
    critic = nn.Linear(16, 1)
    update(WeightClipping(limit=0.02), list(critic.parameters()), context)
    assert torch.linalg.vector_norm(critic.weight) <= 0.02 * 16**0.5 + 1e-7


def test_it_is_for_d_only():
    assert WeightClipping().on == "discriminator"


@pytest.mark.parametrize("limit", [0.0, -0.01])
def test_a_limit_that_is_not_positive_is_refused(limit):
    with pytest.raises(ValueError, match="limit"):
        WeightClipping(limit=limit)
