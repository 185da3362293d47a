"""What the plugin offers, and that each offer imports."""

import subprocess
import sys
from importlib import import_module

import gancore_images


def test_datasets_import():
    offers = list(gancore_images.gancore_datasets())
    assert [offer.name for offer in offers] == ["mnist", "fashion-mnist", "cifar10", "image-folder"]
    for offer in offers:
        module, name = offer.target.split(":")
        assert callable(getattr(import_module(module), name).load)


def test_listing_does_not_import_torch():
    code = "import sys, gancore_images; gancore_images.gancore_datasets(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
