"""What people get from `pip install`: the wheels, what stands in them, and what a fresh environment can do with them.

Slow: builds every distribution and makes two virtual environments.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
DISTRIBUTIONS = ["gancore", *PLUGINS]
BIN = "Scripts" if os.name == "nt" else "bin"

EXPERIMENT = """\
[train]
steps = 5
batch_size = 16
device = "cpu"

[log]
every = 5

[data]
name = "digits"

[model]
name = "{model}"

[loss]
name = "wgan-gp"

[optimizer]
name = "adam"
"""


def find_uv() -> list[str]:
    for command in ([shutil.which("uv") or "uv"], [sys.executable, "-m", "uv"]):
        try:
            subprocess.run([*command, "--version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return command
    pytest.skip("needs uv, on PATH or as a module, to build and install the wheels")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


def must(*command: str | Path, cwd: Path) -> None:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def uv() -> list[str]:
    return find_uv()


@pytest.fixture(scope="module")
def wheels(uv: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each distribution, built from its sdist as for a release."""
    out = tmp_path_factory.mktemp("dist")
    must(*uv, "build", "--all-packages", "-o", out, cwd=ROOT)
    assert {path.name for path in out.glob("*.tar.gz")} == {
        f"{name.replace('-', '_')}-0.1.0.tar.gz" for name in DISTRIBUTIONS
    }
    return {path.name.split("-")[0].replace("_", "-"): path for path in sorted(out.glob("*.whl"))}


class Venv:
    """A fresh environment. Of gancore only the wheels we built can come into it; everything else in the versions that
    run this test, which uv has in its cache."""

    def __init__(self, uv: list[str], wheels: dict[str, Path], folder: Path) -> None:
        self.uv, self.wheels, self.folder = uv, wheels, folder
        pins = {d.name: f"{d.name}=={d.version}" for d in distributions() if not d.name.startswith("gancore")}
        pins |= {name: f"{name} @ {path.as_uri()}" for name, path in wheels.items()}
        (folder / "constraints.txt").write_text("\n".join(pins.values()))
        must(*uv, "venv", "--quiet", "--python", sys.executable, "venv", cwd=folder)

    def install(self, *names: str) -> None:
        python = self.folder / "venv" / BIN / "python"
        wheels = [self.wheels[name] for name in names]
        command = [*self.uv, "pip", "install", "--python", python, "--constraint", "constraints.txt", *wheels]
        must(*command, cwd=self.folder)

    def gancore(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(self.folder / "venv" / BIN / "gancore", *arguments, cwd=self.folder)

    def installed(self) -> dict[str, str]:
        """Where each distribution of ours was installed from."""
        found = {}
        for folder in self.folder.glob("venv/**/site-packages/gancore*.dist-info"):
            url = json.loads((folder / "direct_url.json").read_text())["url"]
            found[folder.name.split("-")[0].replace("_", "-")] = url
        return found


@pytest.fixture(scope="module")
def bare(uv: list[str], wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """Only gancore."""
    venv = Venv(uv, wheels, tmp_path_factory.mktemp("bare"))
    venv.install("gancore")
    return venv


@pytest.fixture(scope="module")
def small(uv: list[str], wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """gancore and what the experiment above names."""
    venv = Venv(uv, wheels, tmp_path_factory.mktemp("small"))
    venv.install("gancore-digits", "gancore-losses", "gancore-mlp", "gancore-optimizers")
    return venv


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


# What stands in the wheels


def test_there_is_one_wheel_for_each_distribution(wheels: dict[str, Path]) -> None:
    assert sorted(wheels) == sorted(DISTRIBUTIONS)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_holds_its_package_and_its_metadata_and_nothing_else(name: str, wheels: dict[str, Path]) -> None:
    package = name.replace("-", "_")
    names = names_in(wheels[name])
    assert {entry.split("/")[0] for entry in names} == {package, f"{package}-0.1.0.dist-info"}
    assert f"{package}/__init__.py" in names
    assert [entry for entry in names if "tests/" in entry or "test_" in entry or "__pycache__" in entry] == []


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_holds_every_file_of_its_package(name: str, wheels: dict[str, Path]) -> None:
    package = name.replace("-", "_")
    source = ROOT / "gancore" if name == "gancore" else ROOT / "plugins" / name / "src" / package
    expected = {
        f"{package}/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {entry for entry in names_in(wheels[name]) if entry.startswith(f"{package}/")} == expected


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("gancore", "gancore/py.typed"),
        ("gancore", "gancore/known_plugins.json"),
        ("gancore-digits", "gancore_digits/digits.csv.gz"),
    ],
)
def test_a_wheel_holds_the_files_that_are_no_code(name: str, file: str, wheels: dict[str, Path]) -> None:
    assert file in names_in(wheels[name])


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_says_which_gancore_it_fits(name: str, wheels: dict[str, Path]) -> None:
    metadata = metadata_of(wheels[name])
    assert metadata["Name"] == name
    assert "gancore<0.2,>=0.1" in metadata.get_all("Requires-Dist", [])


def test_the_extra_standard_brings_every_plugin(wheels: dict[str, Path]) -> None:
    lines = metadata_of(wheels["gancore"]).get_all("Requires-Dist", [])
    standard = [line for line in lines if line.endswith("; extra == 'standard'")]
    assert standard == [f"{name}<0.2,>=0.1; extra == 'standard'" for name in PLUGINS]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_can_be_published(name: str, wheels: dict[str, Path]) -> None:
    metadata = metadata_of(wheels[name])
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"].startswith("Apache-2.0")
    assert metadata["Summary"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert len(metadata.get_payload()) > 200


# Only gancore


def test_alone_gancore_lists_its_callbacks_and_how_to_get_the_rest(bare: Venv) -> None:
    assert set(bare.installed()) == {"gancore"}
    hint = "no plugin is installed; the usual ones: python -m pip install 'gancore[standard]'\n"
    done = bare.gancore("list")
    assert (done.returncode, done.stderr) == (0, hint)
    kind, *callbacks = done.stdout.splitlines()
    assert kind == "callback"
    assert [line.split()[0] for line in callbacks] == ["checkpoint", "progress", "samples", "stats", "tensorboard"]
    assert bare.gancore("plugins").stdout.endswith(hint)


def test_alone_gancore_says_what_an_experiment_needs(bare: Venv) -> None:
    (bare.folder / "digits.toml").write_text(EXPERIMENT.format(model="mlp"))
    done = bare.gancore("train", "digits.toml")
    assert done.returncode == 2
    for plugin in ("gancore-digits", "gancore-mlp", "gancore-losses", "gancore-optimizers"):
        assert f"{plugin} brings it: python -m pip install {plugin}" in done.stderr
    assert "no plugin is installed; the usual ones: python -m pip install 'gancore[standard]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bare.folder / "runs").exists()


# With four plugins


def test_plugins_come_from_the_wheels_with_what_they_depend_on(small: Venv) -> None:
    four = ["gancore-digits", "gancore-losses", "gancore-mlp", "gancore-optimizers"]
    names = ["gancore", "gancore-penalties", *four]
    assert small.installed() == {name: small.wheels[name].as_uri() for name in names}


def test_with_four_plugins_an_experiment_trains(small: Venv) -> None:
    (small.folder / "digits.toml").write_text(EXPERIMENT.format(model="mlp"))
    done = small.gancore("train", "digits.toml")
    assert done.returncode == 0, done.stderr
    run = small.folder / "runs" / "digits-1"
    assert json.loads((run / "stats.jsonl").read_text().splitlines()[-1])["step"] == 5
    assert (run / "checkpoints" / "step-00000005" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("text", "kind", "name", "distribution"),
    [
        (EXPERIMENT.format(model="dcgan"), "model", "dcgan", "gancore-dcgan"),
        (
            EXPERIMENT.format(model="mlp") + '\n[[regularizer]]\nname = "diffaugment"\n',
            "regularizer",
            "diffaugment",
            "gancore-augment",
        ),
    ],
)
def test_a_component_of_another_plugin_names_what_to_install(
    text: str, kind: str, name: str, distribution: str, small: Venv
) -> None:
    (small.folder / "other.toml").write_text(text)
    done = small.gancore("train", "other.toml")
    assert done.returncode == 2
    brings = f"{distribution} brings it: python -m pip install {distribution}"
    assert f'no {kind} "{name}" is installed; {brings}' in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
