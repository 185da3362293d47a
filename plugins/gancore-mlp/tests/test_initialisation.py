"""Initial weights against the formulas of the papers."""

import math

import pytest
import torch
from torch import nn

from gancore_mlp.initialisation import gain, initialise

GAINS = {  # sqrt(2 / (1 + slope^2)) for the leaky ones, by hand
    "relu": 1.4142135,
    "leaky-relu": 1.3867505,
    "prelu": 1.3719887,
    "elu": 1.4142135,
    "tanh": 1.6666667,
    "sigmoid": 1.0,
}


@pytest.mark.parametrize("activation", GAINS)
def test_gain(activation):
    assert gain(activation) == pytest.approx(GAINS[activation], abs=1e-6)


def drawn(scheme, activation="relu"):
    """A layer from 400 to 600 that `scheme` initialised, in float64."""
    torch.manual_seed(0)
    return initialise(nn.Linear(400, 600, dtype=torch.float64), scheme, activation)


# 240,000 draws: the standard deviation is known to 1 part in 700, so 1 in 100 is seven sigma.
@pytest.mark.parametrize(
    ("scheme", "activation", "std"),
    [
        ("he", "relu", math.sqrt(2 / 400)),
        ("he", "tanh", 5 / 3 / 20),
        ("xavier", "relu", math.sqrt(2 * 2 / 1000)),
        ("xavier", "sigmoid", math.sqrt(2 / 1000)),
        ("normal", "relu", 0.02),
        ("normal", "tanh", 0.02),
    ],
)
def test_standard_deviation_of_weights(scheme, activation, std):
    weight = drawn(scheme, activation).weight
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=std / 50)


def test_xavier_is_uniform_up_to_its_bound():
    bound = math.sqrt(6 / 1000)
    assert 0.999 * bound < drawn("xavier", "sigmoid").weight.abs().max().item() <= bound


def test_orthogonal_columns_have_the_length_of_the_gain():
    weight = drawn("orthogonal", "tanh").weight.detach()
    torch.testing.assert_close(weight.T @ weight, 25 / 9 * torch.eye(400, dtype=torch.float64))


@pytest.mark.parametrize("scheme", ["he", "xavier", "orthogonal", "normal"])
def test_biases_start_at_zero(scheme):
    assert drawn(scheme).bias.count_nonzero() == 0


def test_default_leaves_the_draws_of_torch():
    torch.manual_seed(0)
    layer = nn.Linear(400, 600, dtype=torch.float64)
    assert torch.equal(layer.weight, drawn("default").weight)
    assert torch.equal(layer.bias, drawn("default").bias)


def test_reaches_nested_layers_and_leaves_norms_and_embeddings():
    network = nn.ModuleDict({"a": nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)), "b": nn.Embedding(4, 5)})
    embedding = network["b"].weight.clone()
    initialise(network, "he", "relu")
    assert network["a"][0].bias.count_nonzero() == 0
    assert network["a"][1].weight.tolist() == [1, 1, 1]
    assert torch.equal(network["b"].weight, embedding)
