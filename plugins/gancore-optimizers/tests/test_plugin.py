"""What the plugin offers, and what importing it costs."""

import subprocess
import sys
from importlib import import_module

import pytest

import gancore_optimizers


def test_offers_five_optimizers():
    names = [offer.name for offer in gancore_optimizers.gancore_optimizers()]
    assert names == ["sgd", "adam", "adamw", "rmsprop", "subgradient"]


@pytest.mark.parametrize("offer", gancore_optimizers.gancore_optimizers(), ids=lambda offer: offer.name)
def test_target_of_an_offer_imports(offer):
    module, _, name = offer.target.partition(":")
    optimizer = getattr(import_module(module), name)()
    assert callable(optimizer.build)
    assert callable(optimizer.schedule)


def test_listing_offers_does_not_import_torch():
    code = "import sys, gancore_optimizers as g; list(g.gancore_optimizers()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
