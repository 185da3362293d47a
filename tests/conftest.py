"""Fixtures for all tests of the engine."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gancore

SICK = """
name = "sick"
[train]
steps = 60
batch_size = 16
device = "cpu"
[health]
every = 10
warm_up = 0
[data]
name = "digits"
[model]
name = "mlp"
latent_dim = 8
hidden = [16, 16, 16, 16, 16, 16, 16, 16]
activation = "sigmoid"
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
lr = 1e-3
[[callback]]
name = "health"
[[callback]]
name = "samples"
every = 30
"""

# Test files run beside each other: two OpenMP threads each would spin instead of working. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Install = Callable[..., None]


@pytest.fixture
def fake_site(tmp_path: Path) -> Path:
    """A folder that stands in for site-packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(fake_site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install(distribution, module=source, ...)`: put a distribution, as pip would leave it, on `sys.path`.

    Each module becomes an entry point of its own name in the group `gancore`, unless `entry_points` says otherwise.
    """
    monkeypatch.syspath_prepend(fake_site)
    before = set(sys.modules)

    def install(
        distribution: str,
        *,
        version: str = "1.0",
        requires: tuple[str, ...] = ("gancore>=0.1,<0.2",),
        entry_points: dict[str, str] | None = None,
        **modules: str,
    ) -> None:
        info = fake_site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires)]) + "\n")
        points = {name: name for name in modules} if entry_points is None else entry_points
        (info / "entry_points.txt").write_text("\n".join(["[gancore]", *(f"{k} = {v}" for k, v in points.items())]))
        for name, source in modules.items():
            (fake_site / f"{name}.py").write_text(source)
        importlib.invalidate_caches()

    yield install
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(fake_site)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def sick_experiment() -> str:
    """The text of an experiment whose gradients vanish in both networks."""
    return SICK


@pytest.fixture(scope="session")
def sick_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `sick_experiment`, trained once. Not to be changed."""
    root = tmp_path_factory.mktemp("sick")
    (root / "sick.toml").write_text(SICK)
    gancore.load(root / "sick.toml").assemble(out=root / "run").train()
    return root / "run"
