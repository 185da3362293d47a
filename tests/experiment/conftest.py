"""The registry of what is installed, discovered once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gancore.experiment import Experiment, read
from gancore.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.discover()


@pytest.fixture
def read_text(registry: Registry, tmp_path: Path) -> Callable[..., Experiment]:
    """Read an experiment from text, as if it stood in `my.toml`."""

    def read_text(text: str, *overrides: str, provided: tuple[str, ...] = ()) -> Experiment:
        file = tmp_path / "my.toml"
        file.write_text(text, "utf-8")
        return read(file, registry, overrides, provided)

    return read_text
