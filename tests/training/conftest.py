"""Experiments for the tests of the training loop."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import gancore
from gancore.training.run import Run

MLP_ADAM = """
[train]
steps = 12
batch_size = 16
device = "cpu"
[log]
every = 3
[data]
name = "digits"
[model]
name = "mlp"
latent_dim = 8
hidden = [16]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
lr = 1e-3
"""

DCGAN_LAZY = """
[train]
steps = 12
batch_size = 4
device = "cpu"
ema = 100
[data]
name = "blobs"
[model]
name = "dcgan"
latent_dim = 8
width = 4
discriminator_norm = "none"
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
lr_schedule = "cosine"
warmup = 2
[[regularizer]]
name = "r1"
gamma = 1.0
every = 4
[[regularizer]]
name = "diffaugment"
"""

WGAN_GP = MLP_ADAM.replace("nonsaturating", "wgan-gp").replace("[train]", "[train]\nn_critic = 5")

Assemble = Callable[..., Run]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured rarely, so that it is felt little, is measured in runs of a few steps."""
    monkeypatch.setattr("gancore.training.checkup.RARELY", 3)
    monkeypatch.setattr("gancore.training.checkup.WEIGHED", 3)


@pytest.fixture
def experiments() -> dict[str, str]:
    """Three that differ in all that has state: losses, rhythms, schedules, augmentation, EMA."""
    return {"mlp_adam": MLP_ADAM, "dcgan_lazy": DCGAN_LAZY, "wgan_gp": WGAN_GP}


@pytest.fixture
def assemble(tmp_path: Path) -> Assemble:
    """Assemble an experiment given as text; `blobs` data become 20 fixed random colour images of 16x16."""

    def build(text: str, *overrides: str, out: Path | None = None, **objects: object) -> Run:
        if 'name = "blobs"' in text:
            import torch
            from torch.utils.data import TensorDataset

            text = text.replace('[data]\nname = "blobs"\n', "")
            pixels = torch.randint(256, (20, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
            objects.setdefault("data", TensorDataset(pixels))
        file = tmp_path / "experiment.toml"
        file.write_text(text)
        return gancore.load(file, overrides).assemble(out=out, **objects)

    return build


@pytest.fixture
def probes() -> ModuleType:
    """The module next to this one (tests are no package, so it is not imported by name)."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("training_probes", Path(__file__).with_name("probes.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
