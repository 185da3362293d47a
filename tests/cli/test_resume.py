"""`gancore resume`: goes on where a run stopped, and refuses to make another experiment of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

Gancore = Any


def steps_of(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "stats.jsonl").read_text().splitlines()]


def test_a_finished_run_says_that_it_is_and_how_to_train_on(gancore: Gancore, trained: Path) -> None:
    said = gancore("resume", "run")
    assert (said.code, said.out) == (2, "")
    assert said.err == "run has finished its 6 steps (step-00000006); --set train.steps=N trains on\n"


def test_a_finished_run_of_epochs_is_lengthened_in_epochs(gancore: Gancore, tiny: Path) -> None:
    text = tiny.read_text().replace("steps = 6", "epochs = 0.01")
    tiny.write_text(text)
    assert gancore("train", tiny, "--out", "short").code == 0
    said = gancore("resume", "short")
    assert (said.code, said.err) == (
        2,
        "short has finished its 1 steps (step-00000001); --set train.epochs=N trains on\n",
    )
    assert gancore("resume", "short", "--set", "train.epochs=0.03").code == 0
    assert (steps_of(Path("short"))) == [1, 2, 3]


def test_more_steps_make_a_finished_run_go_on(gancore: Gancore, trained: Path) -> None:
    said = gancore("resume", "run", "--set", "train.steps=10")
    assert (said.code, said.out) == (0, "run\n")
    assert said.err.startswith("training tiny on cpu, from step 6 to step 10, in run\n")
    assert steps_of(trained) == [2, 4, 6, 8, 10]
    assert [path.name for path in sorted((trained / "checkpoints").iterdir())] == [
        "step-00000006", "step-00000008", "step-00000010",
    ]  # fmt: skip


def test_a_longer_run_stays_longer(gancore: Gancore, trained: Path) -> None:
    """What it would say after an interruption is `gancore resume run`, without the --set."""
    assert gancore("resume", "run", "--set", "train.steps=10").code == 0
    shutil.rmtree(trained / "checkpoints" / "step-00000010")
    said = gancore("resume", "run")
    assert (said.code, said.out) == (0, "run\n")
    assert said.err.startswith("training tiny on cpu, from step 8 to step 10, in run\n")


@pytest.mark.parametrize("override", ["loss.name=hinge", "train.batch_size=8", "optimizer.lr=1", "model=x", "logs=1"])
def test_another_experiment_is_refused(override: str, gancore: Gancore, trained: Path) -> None:
    before = (trained / "experiment.toml").read_bytes()
    said = gancore("resume", "run", "--set", "train.steps=10", "--set", override)
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"--set {override}: a resumed run can change train.steps, train.epochs, train.device, train.workers, "
        "train.strict, train.damaged, train.grace, data.root, data.download, log, health, "
        "checkpoint, callback, metric; for anything else, train anew\n"
    )
    assert (trained / "experiment.toml").read_bytes() == before


def test_a_folder_that_is_no_run_is_refused(gancore: Gancore, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("photos", "nowhere"):
        said = gancore("resume", name)
        assert (said.code, said.err) == (2, f"{name}: is no run folder (it has no experiment.toml)\n")
    assert list((tmp_path / "photos").iterdir()) == []


def test_a_damaged_checkpoint_is_passed_over_aloud(gancore: Gancore, trained: Path) -> None:
    (trained / "checkpoints" / "step-00000006" / "tensors.safetensors").write_bytes(b"")
    said = gancore("resume", "run")
    assert (said.code, said.out) == (0, "run\n")
    assert said.err.startswith(
        "passed over, now damaged-step-00000006-1: run/checkpoints/step-00000006: tensors.safetensors is damaged "
        "(its SHA-256 is not the one of the manifest)\n"
        "training tiny on cpu, from step 4 to step 6, in run\n"
    )
    assert steps_of(trained) == [2, 4, 6]


def test_a_run_without_checkpoints_cannot_be_resumed(gancore: Gancore, trained: Path) -> None:
    shutil.rmtree(trained / "checkpoints")
    said = gancore("resume", "run")
    assert (said.code, said.err) == (2, "run: has no usable checkpoint\n")


def test_another_version_of_a_plugin_is_noted(gancore: Gancore, trained: Path) -> None:
    file = trained / "experiment.toml"
    lines = ['gancore-mlp = "0.0.9"' if "gancore-mlp =" in line else line for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines))
    said = gancore("resume", "run", "--set", "train.steps=7")
    assert said.code == 0
    assert said.err.startswith("note: gancore-mlp is 0.1.0; the run was trained with 0.0.9\n")


def test_a_checkpoint_that_does_not_fit_names_the_versions_that_it_was_written_with(
    gancore: Gancore, trained: Path
) -> None:
    file = trained / "experiment.toml"
    file.write_text(file.read_text().replace("hidden = [16]", "hidden = [17]"))
    said = gancore("resume", "run", "--set", "train.steps=7")
    assert said.code == 2
    assert "step-00000006: the state does not fit this experiment: RuntimeError: " in said.err
    assert "pip install" not in said.err, "there is no other version"
    file.write_text(file.read_text().replace('gancore-mlp = "0.1.0"', 'gancore-mlp = "0.0.9"'))
    said = gancore("resume", "run", "--set", "train.steps=7")
    assert said.err.endswith(". To use it with what it was trained with: pip install gancore-mlp==0.0.9\n")
