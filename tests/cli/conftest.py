"""The command line, called in this process where that is enough and as a process where it is not."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

TINY = """
name = "tiny"
[train]
steps = 6
batch_size = 16
device = "cpu"
[log]
every = 2
[checkpoint]
every = 4
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
"""


@frozen
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


Gancore = Callable[..., Said]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **extra}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """An experiment file; what a test trains lands beside it."""
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return file


@pytest.fixture
def gancore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gancore:
    """Call `gancore ...` in this process, from `tmp_path`. An exception that would be a traceback comes out."""
    from gancore.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["gancore", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return Said(ended.value.code or 0, captured.out, captured.err)

    return call


@pytest.fixture
def process(tmp_path: Path) -> Gancore:
    """Run `python -m gancore ...` as a process of its own, in `tmp_path`."""

    def call(*arguments: str | Path, **extra: str) -> Said:
        command = [sys.executable, "-m", "gancore", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=environment(**extra), capture_output=True, text=True)
        return Said(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def once_trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """A finished run of the tiny experiment, trained once, as a process. Not to be changed: take `trained`."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-m", "gancore", "train", "tiny.toml", "--out", "run"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    return folder / "run", Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def trained(once_trained: tuple[Path, Said], tmp_path: Path) -> Path:
    """A finished run, in `tmp_path`, to do with as one likes."""
    return Path(shutil.copytree(once_trained[0], tmp_path / "run"))
