"""The first steps of each optimizer, computed by hand."""

import pytest
import torch
from torch import nn

from gancore_optimizers.adam import Adam
from gancore_optimizers.adamw import AdamW
from gancore_optimizers.rmsprop import RmsProp
from gancore_optimizers.sgd import Sgd


def walk(component, gradients, start=1.0):
    """Where a single number stands after each step."""
    x = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = component.build([x], lazy=1.0)
    path = []
    for g in gradients:
        x.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        path.append(x.item())
    return path


def test_sgd():
    assert walk(Sgd(lr=0.1), [2, -1]) == pytest.approx([0.8, 0.9])


def test_sgd_with_momentum():
    # v: 2, then 0.5 * 2 + 1 = 2.
    assert walk(Sgd(lr=0.1, momentum=0.5), [2, 1]) == pytest.approx([0.8, 0.6])


def test_sgd_with_nesterov():
    # v: 2, 2; steps along 2 + 0.5 * 2 = 3 and 1 + 0.5 * 2 = 2.
    assert walk(Sgd(lr=0.1, momentum=0.5, nesterov=True), [2, 1]) == pytest.approx([0.7, 0.5])


def test_sgd_with_weight_decay():
    # 2 + 0.5 * 1 = 2.5, then 1 + 0.5 * 0.75 = 1.375.
    assert walk(Sgd(lr=0.1, weight_decay=0.5), [2, 1]) == pytest.approx([0.75, 0.6125])


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValueError, match=r"^nesterov needs momentum above 0"):
        Sgd(nesterov=True)


def test_adam():
    # m / (1 - b1^t): 2, (0.5 * 1 + 0.5 * 4) / 0.75 = 10/3.
    # v / (1 - b2^t): 4, (0.75 * 1 + 0.25 * 16) / 0.4375 = 76/7.
    path = walk(Adam(lr=0.1, beta1=0.5, beta2=0.75, eps=1e-8), [2, 4])
    assert path == pytest.approx([0.9, 0.9 - 0.1 * (10 / 3) / (76 / 7) ** 0.5], abs=1e-9)


def test_adam_eps_is_added_to_the_root():
    assert walk(Adam(lr=0.1, eps=2.0), [2]) == pytest.approx([0.95])


def test_adam_defaults_take_a_first_step_of_the_learning_rate():
    assert walk(Adam(), [123.0]) == pytest.approx([1 - 2e-4], abs=1e-12)


def test_adamw_shrinks_the_weight_apart_from_the_gradient():
    # 1 * (1 - 0.1 * 0.5) = 0.95, then Adam's first step.
    assert walk(AdamW(lr=0.1, weight_decay=0.5), [2]) == pytest.approx([0.85])


def test_rmsprop():
    # v: 0.25 * 4 = 1, then 0.75 * 1 + 0.25 * 9 = 3.
    path = walk(RmsProp(lr=0.1, alpha=0.75), [2, 3])
    assert path == pytest.approx([0.8, 0.8 - 0.1 * 3 / 3**0.5], abs=1e-8)


def test_rmsprop_takes_a_first_step_of_ten_learning_rates():
    assert walk(RmsProp(), [7.0]) == pytest.approx([1 - 5e-4], abs=1e-10)
