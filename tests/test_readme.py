"""The README promises only what works: every command and every block of it is run here."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gancore.experiment import read
from gancore.registry import Registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_commands_of_the_tour_work_one_after_the_other(tmp_path: Path) -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("gancore ")]
    assert len(commands) == 18
    for command in commands:
        words = shlex.split(command)
        # The same commands, with a hundredth of the steps, and probes that are as much closer.
        words = [re.sub(r"train\.steps=(\d+)00$", r"train.steps=\1", word) for word in words]
        words += ["--set", "health.every=10"] if words[1] == "train" else []
        done = run([sys.executable, "-m", *words], tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "my.png").is_file()
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "runs" / "my-1" / "checkpoints" / "step-00000030").is_dir()


def test_the_two_commands_name_files_and_tools_that_exist() -> None:
    first, second = (block.strip() for block in blocks("bash")[:2])
    assert first == "python -m pip install uv && uv run gancore train examples/digits.toml"
    assert second == "python -m pip install uv && uv run pytest"
    assert (ROOT / "examples" / "digits.toml").is_file()
    assert "uv run pytest\n" in (ROOT / ".ci" / "run").read_text()


def test_the_experiment_of_the_tour_is_one(tmp_path: Path) -> None:
    whole, optimizers = blocks("toml")[:2]
    file = tmp_path / "tour.toml"
    file.write_text(whole)
    assert read(file, Registry.discover()).loss.name == "relativistic"
    before, _, after = whole.partition("[optimizer]")
    file.write_text(before + optimizers + "[[regularizer]]" + after.partition("[[regularizer]]")[2])
    assert read(file, Registry.discover()).optimizer_discriminator.options["lr"] == 4e-4


def test_the_mistakes_are_reported_as_shown(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text(
        "[train]\nsteps = 10\nbatchsize = 64\n\n[data]\nname = 'digits'\n\n[model]\nname = 'mlp'\n\n[loss]\n"
        "name = 'hinje'\n[optimizer]\nname = 'adam'\n"
    )
    done = run([sys.executable, "-m", "gancore", "check", "broken.toml"], tmp_path)
    assert done.returncode == 2
    (shown,) = blocks("console")
    for expected, line in zip(shown.splitlines()[1:], done.stderr.splitlines(), strict=True):
        assert line.startswith(expected.removesuffix("..."))


def test_the_script_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    assert capsys.readouterr().out.startswith("5 ")
    assert names["pictures"].shape == (16, 1, 8, 8)


def test_the_plugin_in_20_lines_trains(tmp_path: Path) -> None:
    """Its two files as written, installed as the third says (a dist-info folder is all that pip would add)."""
    (pyproject,) = [tomllib.loads(block) for block in blocks("toml") if "[project]" in block]
    *files, contract = blocks("python")[1:]
    for block in files:
        file = tmp_path / "site" / re.match(r"# src/(\S+)\n", block)[1]  # type: ignore[index]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block)
    project = pyproject["project"]
    info = tmp_path / "site" / f"my_gan_losses-{project['version']}.dist-info"
    info.mkdir()
    requires = "".join(f"Requires-Dist: {line}\n" for line in project["dependencies"])
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}"
    )
    points = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["gancore"].items())
    (info / "entry_points.txt").write_text(f"[gancore]\n{points}")
    experiment = ROOT / "examples" / "digits.toml"
    (tmp_path / "mine.toml").write_text(
        experiment.read_text().replace('"wgan-gp"', '"wide-hinge"\nmargin = 1.5').replace("steps = 3000", "steps = 4")
    )
    train = [sys.executable, "-m", "gancore", "train", "mine.toml", "--out", "run"]
    done = run(train, tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 0, done.stderr
    assert 'name = "my-gan-losses/wide-hinge"' in (tmp_path / "run" / "experiment.toml").read_text()
    code = [line for block in files for line in block.splitlines() if line.strip()]
    assert len([line for line in code if not line.startswith("#")]) <= 20
    (tmp_path / "test_contract.py").write_text(contract)
    kit = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_contract.py"]
    done = run(kit, tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert "14 passed" in done.stdout, done.stdout


def test_the_table_of_components_is_complete() -> None:
    rows = re.findall(r"^\| (\w+) \| ((?:`[\w-]+` ?)+) \| ([\w-]+) \|$", README, re.MULTILINE)
    told = {(kind, name, plugin) for kind, names, plugin in rows for name in re.findall(r"`([\w-]+)`", names)}
    assert told == {(o.kind, o.name, o.plugin.distribution) for o in Registry.discover().offers}


def test_the_table_of_examples_is_complete() -> None:
    told = set(re.findall(r"^\| `examples/([\w-]+)\.toml` \|", README, re.MULTILINE))
    assert told == {file.stem for file in (ROOT / "examples").glob("*.toml")}


def test_the_picture_is_there() -> None:
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / picture).is_file()


@pytest.mark.parametrize(("file", "title"), [("cpu.json", ""), ("h200.json", "on a GPU, ")])
def test_the_tables_of_speed_are_what_was_measured(file: str, title: str) -> None:
    measured = json.loads((ROOT / "tests" / "benchmarks" / "results" / file).read_text("utf-8"))["workloads"]
    (table,) = re.findall(rf"^\| {title}times the example-style loop \|.*\n(?:\|.*\n)+", README, re.MULTILINE)
    header, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert {row[0] for row in rows} == measured.keys()
    for name, *cells in rows:
        told = dict(zip(header[1:], cells, strict=True))
        ratios = measured[name]["ratios"]
        assert told == {c: f"{ratios[c][1]:.2f}" if c in ratios else "–" for c in told}


def test_the_engine_takes_as_little_time_as_is_said() -> None:
    assert "Eagerly and without its probe, gancore takes at most 2 % longer than the best loop by hand." in README
    measured = json.loads((ROOT / "tests" / "benchmarks" / "results" / "cpu.json").read_text("utf-8"))["workloads"]
    for of in measured.values():
        assert 1 / of["ratios_to_lean"]["gancore, eager no probe"][1] < 1.02


def test_the_probe_takes_as_little_time_as_is_said() -> None:
    assert "To measure and to judge takes less than 2 % of the time, eager, compiled or captured" in README
    files = list((ROOT / "tests" / "benchmarks" / "results").glob("health*.json"))
    assert len(files) == 3
    for file in files:
        measured = json.loads(file.read_text("utf-8"))["time_of_probed_over_unprobed"]
        by_default = [quartiles[1] for name, quartiles in measured.items() if name.endswith("every 50")]
        assert by_default
        assert max(by_default) < 1.02


def test_the_options_of_speed_are_read(tmp_path: Path) -> None:
    (block,) = [block for block in blocks("toml") if "capture" in block]
    file = tmp_path / "x.toml"
    file.write_text((ROOT / "examples" / "digits.toml").read_text("utf-8").replace("[train]\nsteps = 3000", block))
    train = read(file, Registry.discover()).train
    assert (train.steps, train.precision, train.compile, train.threads) == (200_000, "bf16", "phase", "auto")
