"""What the plugin offers, and what importing it costs."""

import subprocess
import sys
from importlib import import_module

import gancore_dcgan


def test_offers_one_model_whose_target_imports():
    (offer,) = gancore_dcgan.gancore_models()
    module, _, name = offer.target.partition(":")
    assert (offer.name, getattr(import_module(module), name).__name__) == ("dcgan", "Dcgan")


def test_listing_offers_does_not_import_torch():
    code = "import sys, gancore_dcgan; list(gancore_dcgan.gancore_models()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
