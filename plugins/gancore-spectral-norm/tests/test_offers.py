"""What the plugin offers, and that it can be had."""

import subprocess
import sys
from importlib import import_module

import pytest

import gancore_spectral_norm

OFFERS = gancore_spectral_norm.gancore_regularizers()


def test_what_it_offers():
    assert [offer.name for offer in OFFERS] == ["spectral-norm"]


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.name)
def test_every_target_imports_and_is_built_from_its_defaults(offer):
    module, name = offer.target.split(":")
    assert getattr(import_module(module), name)().on in ("discriminator", "generator", "both")


def test_listing_the_offers_does_not_import_torch():
    code = "import sys, gancore_spectral_norm as p; p.gancore_regularizers(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
