"""The averaged generator: its decay, its ramp, its buffers."""

import pytest
import torch
from torch import nn

from gancore.training.ema import Ema


def test_a_weights_share_halves_over_the_half_life() -> None:
    """decay = 0.5 ** (10 / 100) per step of 10 images: after 10 steps half of the start is left."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    ema = Ema(network, half_life=100, ramp=1.0, batch_size=10)
    nn.init.ones_(network.weight)
    for _ in range(10):
        ema.update(step=1000)
    assert float(ema.network.weight) == pytest.approx(0.5)


def test_early_on_the_half_life_is_a_share_of_the_images_seen() -> None:
    ema = Ema(nn.Linear(1, 1), half_life=10_000, ramp=0.05, batch_size=64)
    assert ema.decay(1) == pytest.approx(0.5**20)
    assert ema.decay(100) == pytest.approx(0.5**0.2)
    assert ema.decay(1_000_000) == pytest.approx(0.5 ** (64 / 10_000))


def test_half_life_zero_is_a_copy() -> None:
    network = nn.Linear(2, 2)
    ema = Ema(network, half_life=0, ramp=0.05, batch_size=4)
    nn.init.ones_(network.weight)
    ema.update(1)
    assert torch.equal(ema.network.weight, network.weight)


def test_buffers_are_copied_integers_too() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    ema = Ema(network, half_life=1000, ramp=1.0, batch_size=4)
    network(torch.randn(8, 2))
    ema.update(1)
    assert torch.equal(ema.network[1].running_mean, network[1].running_mean)
    assert int(ema.network[1].num_batches_tracked) == 1


def test_a_buffer_that_the_network_replaces_is_followed() -> None:
    network = nn.BatchNorm1d(2)
    ema = Ema(network, half_life=1000, ramp=1.0, batch_size=4)
    network.running_mean = torch.full((2,), 7.0)
    ema.update(1)
    assert ema.network.get_buffer("running_mean").tolist() == [7.0, 7.0]


def test_the_average_is_evaluated_not_trained() -> None:
    ema = Ema(nn.Linear(2, 2), half_life=10, ramp=1.0, batch_size=4)
    assert not ema.network.training
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())
