from importlib import import_module

import pytest
import torch

import gancore_penalties
from gancore_losses.wasserstein import Wasserstein
from gancore_losses.wgan_gp import WganGp


def test_its_scores_are_judged_as_wassersteins():
    real, fake = torch.tensor([1.0, 5.0]), torch.tensor([-2.0, 4.0])
    assert WganGp().discriminator(real, fake) == Wasserstein().discriminator(real, fake)
    assert WganGp().generator(None, fake) == Wasserstein().generator(None, fake)
    assert (WganGp.needs_real, WganGp.boundary) == (False, "none")


def test_it_brings_the_penalty_with_its_weight():
    (companion,) = WganGp(weight=2.5).companions
    assert (companion.kind, companion.name, companion.options) == ("regularizer", "wgan-gp", {"weight": 2.5})


def test_the_companion_exists_and_takes_these_options():
    (companion,) = WganGp().companions
    (offer,) = [o for o in gancore_penalties.gancore_regularizers() if o.name == companion.name]
    module, name = offer.target.split(":")
    assert getattr(import_module(module), name)(**companion.options).weight == 10.0


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="weight"):
        WganGp(weight=-1.0)
