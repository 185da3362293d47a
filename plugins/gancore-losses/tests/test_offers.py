"""What the plugin offers, and that it can be had."""

import subprocess
import sys
from importlib import import_module

import pytest

import gancore_losses

OFFERS = gancore_losses.gancore_losses()


def test_it_offers_the_seven_losses_of_the_first_wave():
    assert [offer.name for offer in OFFERS] == [
        "minimax",
        "nonsaturating",
        "lsgan",
        "hinge",
        "wasserstein",
        "wgan-gp",
        "relativistic",
    ]


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.name)
def test_every_target_imports_and_is_built_from_its_defaults(offer):
    module, name = offer.target.split(":")
    loss = getattr(import_module(module), name)()
    assert loss.boundary in ("zero", "none")
    assert isinstance(loss.needs_real, bool)


def test_listing_the_offers_does_not_import_torch():
    code = "import sys, gancore_losses; list(gancore_losses.gancore_losses()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
