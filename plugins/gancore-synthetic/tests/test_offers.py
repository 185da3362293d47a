"""What the plugin offers, and that each offer imports."""

import subprocess
import sys
from importlib import import_module

import gancore_synthetic


def imported(offer):
    module, name = offer.target.split(":")
    return getattr(import_module(module), name)


def test_datasets_import():
    offers = list(gancore_synthetic.gancore_datasets())
    assert [offer.name for offer in offers] == ["ring", "grid", "swiss-roll"]
    assert all(callable(imported(offer).load) for offer in offers)


def test_metrics_import():
    offers = list(gancore_synthetic.gancore_metrics())
    assert [offer.name for offer in offers] == ["mode-coverage"]
    assert all(callable(imported(offer).evaluate) for offer in offers)


def test_listing_does_not_import_torch():
    code = "import sys, gancore_synthetic as s; s.gancore_datasets(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
