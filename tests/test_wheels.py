"""What pip users get: the wheels of gancore and its plugins, in an environment of their own."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import distributions
from pathlib import Path

import pytest
from attrs import frozen
from packaging.requirements import Requirement

from gancore.components import KINDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").is_file())
DISTRIBUTIONS = ["gancore", *PLUGINS]

DIGITS = """
[train]
steps = 5
batch_size = 16
device = "cpu"
[data]
name = "digits"
[model]
name = "mlp"
[loss]
name = "wgan-gp"
[optimizer]
name = "adam"
"""


@frozen
class Said:
    code: int
    out: str
    err: str


@frozen
class Environment:
    """A virtual environment and a folder to work in."""

    root: Path

    def install(self, *arguments: str | Path) -> None:
        python = self.root / "venv" / "bin" / "python"
        uv("pip", "install", "--quiet", "--python", python, *arguments, cwd=self.root)

    def gancore(self, *arguments: str) -> Said:
        command = [str(self.root / "venv" / "bin" / "gancore"), *arguments]
        env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            command, cwd=self.root, env={**env, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
        )
        return Said(done.returncode, done.stdout, done.stderr)


def uv(*arguments: str | Path, cwd: Path) -> None:
    program = [shutil.which("uv")] if shutil.which("uv") else [sys.executable, "-m", "uv"]
    done = subprocess.run([*program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)
    if done.returncode and done.stderr.rstrip().endswith("No module named uv"):
        pytest.skip("building and installing wheels needs uv, which is neither on PATH nor a module of this Python")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels (each made from its source distribution)."""
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "--quiet", "--all-packages", "--out-dir", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def alone(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Environment, dict[str, Said]]]:
    """An environment with gancore and nothing else of ours, and what it said to some commands."""
    root = tmp_path_factory.mktemp("environment")
    uv("venv", "--quiet", "--python", sys.executable, root / "venv", cwd=root)
    environment = Environment(root)
    # The versions that are installed here: the test is about our wheels, not about tomorrow's torch.
    pins = {f"{found.name}=={found.version}" for found in distributions() if not found.name.startswith("gancore")}
    (root / "pins.txt").write_text("\n".join(sorted(pins)) + "\n")
    (root / "digits.toml").write_text(DIGITS)
    environment.install("--constraint", "pins.txt", wheel_of("gancore", wheels))
    commands = (("list",), ("list", "loss"), ("plugins",), ("train", "digits.toml"))
    yield environment, {" ".join(command): environment.gancore(*command) for command in commands}
    shutil.rmtree(root / "venv", ignore_errors=True)


@pytest.fixture(scope="module")
def some(alone: tuple[Environment, dict[str, Said]], wheels: Path) -> Environment:
    """The same environment, with what the digits experiment names."""
    environment, _ = alone
    names = ("gancore-digits", "gancore-losses", "gancore-mlp", "gancore-optimizers")
    environment.install("--no-index", "--find-links", wheels, *names)
    return environment


def wheel_of(distribution: str, wheels: Path) -> Path:
    (wheel,) = wheels.glob(f"{distribution.replace('-', '_')}-[0-9]*.whl")
    return wheel


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def text_in(wheel: Path, ending: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(ending))
        return archive.read(name).decode()


# ------------------------------------------------------------------------------------------------ what is in a wheel


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_wheel_holds_its_package_and_metadata_and_nothing_else(distribution: str, wheels: Path) -> None:
    wheel = wheel_of(distribution, wheels)
    package = distribution.replace("-", "_")
    names = names_in(wheel)
    assert {name.partition("/")[0] for name in names} == {package, f"{package}-0.1.0.dist-info"}
    sources = {
        str(path.relative_to(folder))
        for folder in (ROOT, ROOT / "plugins" / distribution / "src")
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith(f"{package}/")} == sources
    assert not [name for name in names if re.search(r"(^|/)(tests?|test_[^/]*\.py|conftest\.py)(/|$)", name)]


@pytest.mark.parametrize(
    ("distribution", "file"),
    [
        ("gancore", "gancore/py.typed"),
        ("gancore", "gancore/known_plugins.json"),
        ("gancore-digits", "gancore_digits/digits.csv.gz"),
    ],
)
def test_files_that_are_no_python_are_there(distribution: str, file: str, wheels: Path) -> None:
    assert file in names_in(wheel_of(distribution, wheels))


@pytest.mark.parametrize("distribution", PLUGINS)
def test_a_plugin_says_which_gancore_it_fits(distribution: str, wheels: Path) -> None:
    metadata = Parser().parsestr(text_in(wheel_of(distribution, wheels), ".dist-info/METADATA"))
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    ours = {requirement.name: str(requirement.specifier) for requirement in required if "gancore" in requirement.name}
    assert ours.pop("gancore") == "<0.2,>=0.1"
    assert set(ours.values()) <= {"<0.2,>=0.1"}
    assert metadata["Requires-Python"] == ">=3.11"


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_wheel_has_entry_points_of_the_group(distribution: str, wheels: Path) -> None:
    assert "[gancore]\n" in text_in(wheel_of(distribution, wheels), ".dist-info/entry_points.txt")


def test_standard_is_every_plugin(wheels: Path) -> None:
    metadata = Parser().parsestr(text_in(wheel_of("gancore", wheels), ".dist-info/METADATA"))
    required = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    standard = {r.name for r in required if r.marker and r.marker.evaluate({"extra": "standard"})}
    assert standard == set(PLUGINS)


# -------------------------------------------------------------------------------------------------- gancore on its own

STANDARD = "no plugin is installed; the usual ones: python -m pip install 'gancore[standard]'"


def test_alone_gancore_lists_what_it_has_and_says_what_to_install(alone: tuple[Environment, dict[str, Said]]) -> None:
    _, said = alone
    assert (said["list"].code, said["list"].err) == (0, f"{STANDARD}\n")
    assert said["list"].out.startswith("callback\n")
    assert said["list loss"] == Said(0, "", f"{STANDARD}\n")
    assert said["plugins"].code == 0
    assert said["plugins"].out.endswith(f"{STANDARD}\n")


def test_alone_gancore_trains_nothing_and_names_what_brings_each_component(
    alone: tuple[Environment, dict[str, Said]],
) -> None:
    environment, said = alone
    assert (said["train digits.toml"].code, said["train digits.toml"].out) == (2, "")
    assert said["train digits.toml"].err.splitlines() == [
        f'digits.toml:{line}:8: {table}.name: no {kind} "{name}" is installed; '
        f"{brings} brings it: python -m pip install {brings}; {STANDARD}"
        for line, table, kind, name, brings in (
            (7, "data", "dataset", "digits", "gancore-digits"),
            (9, "model", "model", "mlp", "gancore-mlp"),
            (11, "loss", "loss", "wgan-gp", "gancore-losses"),
            (13, "optimizer", "optimizer", "adam", "gancore-optimizers"),
        )
    ]
    assert not (environment.root / "runs").exists()


# -------------------------------------------------------------------------------------------------- with some plugins


def test_with_its_plugins_an_experiment_trains(some: Environment) -> None:
    said = some.gancore("train", "digits.toml", "--out", "trained")
    assert (said.code, said.out) == (0, "trained\n")
    assert "finished at step 5" in said.err
    assert (some.root / "trained" / "checkpoints" / "step-00000005" / "manifest.json").is_file()


def test_losses_bring_penalties_along(some: Environment) -> None:
    out = some.gancore("list", "regularizer").out
    assert {line.split()[0] for line in out.splitlines()[1:]} == {"dragan", "r1", "r2", "wgan-gp"}


@pytest.mark.parametrize(
    ("override", "kind", "name", "brings"),
    [
        ("model.name=dcgan", "model", "dcgan", "gancore-dcgan"),
        ('regularizer=[{name="diffaugment"}]', "regularizer", "diffaugment", "gancore-augment"),
    ],
    ids=["dcgan", "diffaugment"],
)
def test_a_component_of_a_plugin_that_is_not_installed_names_it(
    override: str, kind: str, name: str, brings: str, some: Environment
) -> None:
    said = some.gancore("train", "digits.toml", "--out", "refused", "--set", override)
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    assert f'no {kind} "{name}" is installed; {brings} brings it: python -m pip install {brings}; ' in said.err
    assert not (some.root / "refused").exists()


# ------------------------------------------------------------------------------------------------- new plugins


@pytest.fixture(scope="module")
def complete(some: Environment, wheels: Path) -> Environment:
    """The same environment, with all of our plugins and pytest; no repository on its path."""
    some.install("--no-index", "--find-links", wheels, *PLUGINS)
    some.install("--constraint", "pins.txt", "pytest")
    return some


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_installs_passes_its_tests_is_listed_and_trains(kind: str, complete: Environment) -> None:
    name = f"my-{kind}"
    folder = complete.root / f"gancore-{name}"
    assert complete.gancore("new-plugin", name, "--kind", kind).code == 0
    uv("build", "--quiet", "--wheel", "--out-dir", "new", folder, cwd=complete.root)
    complete.install("--no-index", "--no-deps", *(complete.root / "new").glob(f"gancore_my_{kind}-*.whl"))
    assert re.search(rf"^  {name} .*\[gancore-{name}\]$", complete.gancore("list", kind).out, re.MULTILINE)
    python = complete.root / "venv" / "bin" / "python"
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "-W", "error", folder], cwd=folder, capture_output=True, text=True
    )
    assert tests.returncode == 0, tests.stdout
    assert re.search(r"\b(\d+) passed", tests.stdout), tests.stdout
    assert "skipped" not in tests.stdout
    trained = complete.gancore("train", str(folder / "example.toml"), "--out", f"run-{kind}")
    assert trained.code == 0, trained.err
    assert (complete.root / f"run-{kind}" / "checkpoints" / "step-00000020").is_dir()
    assert f'name = "gancore-{name}/{name}"' in (complete.root / f"run-{kind}" / "experiment.toml").read_text()


def test_the_third_party_example_is_a_plugin_like_any_other(complete: Environment) -> None:
    folder = complete.root / "third-party-plugin"
    shutil.copytree(ROOT / "examples" / "third-party-plugin", folder)
    uv("build", "--quiet", "--wheel", "--out-dir", "third", folder, cwd=complete.root)
    complete.install("--no-index", "--no-deps", *(complete.root / "third").glob("wgan_div-*.whl"))
    python = complete.root / "venv" / "bin" / "python"
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "-W", "error", folder], cwd=folder, capture_output=True, text=True
    )
    assert tests.returncode == 0, tests.stdout
    checked = complete.gancore("check-plugin", "wgan-div")
    # wgan-div's penalty draws points between reals and fakes, so two processes have nothing to compare.
    assert re.search(r"wgan-div: \d+ hold, 0 broken, 1 could not be checked", checked.out), checked.out
    for loss in ("wasserstein", "ralsgan"):
        more = ("--set", f"loss.name={loss}", "--set", "train.steps=20", "--out", f"run-{loss}")
        trained = complete.gancore("train", str(folder / "example.toml"), *more)
        assert trained.code == 0, trained.err
