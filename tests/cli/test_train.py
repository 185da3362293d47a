"""`gancore train`: the run folder it leaves, where it puts it, and what it refuses."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Said = Any
Gancore = Any


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_run_leaves_all_that_design_promises(once_trained: tuple[Path, Said]) -> None:
    folder, said = once_trained
    events = [path.name for path in folder.iterdir() if path.name.startswith("events.out.tfevents.")]
    assert len(events) == 1
    assert tree(folder) - set(events) == {
        ".lock",
        "experiment.toml",
        "health.json",
        "stats.jsonl",
        "samples",
        "samples/step-00000006.png",
        "checkpoints",
        *(
            f"checkpoints/{step}{file}"
            for step in ("step-00000004", "step-00000006")
            for file in ("", "/experiment.toml", "/manifest.json", "/state.json", "/tensors.safetensors")
        ),
    }
    assert said.code == 0


def test_the_last_line_is_the_run_folder_alone_on_standard_output(once_trained: tuple[Path, Said]) -> None:
    _, said = once_trained
    assert said.out == "run\n"
    assert said.err.startswith("training tiny on cpu, to step 6, in run\n")
    assert "finished at step 6" in said.err


def test_the_numbers_are_finite_and_at_the_rhythm_of_the_log(once_trained: tuple[Path, Said]) -> None:
    lines = [json.loads(line) for line in (once_trained[0] / "stats.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[0].keys() == {
        "step", "time", "loss/discriminator", "loss/generator", "score/real", "score/fake",
        "gradient/discriminator", "gradient/generator", "lr/discriminator", "lr/generator",
    }  # fmt: skip


def test_the_samples_are_a_picture(once_trained: tuple[Path, Said]) -> None:
    with Image.open(once_trained[0] / "samples" / "step-00000006.png") as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert min(image.size) >= 256


def test_the_recorded_experiment_is_complete_and_trains_again(
    once_trained: tuple[Path, Said], gancore: Gancore, tmp_path: Path
) -> None:
    recorded = once_trained[0] / "experiment.toml"
    tables = tomllib.loads(recorded.read_text())
    assert tables["name"] == "tiny"
    assert tables["plugins"].keys() == {
        "gancore", "gancore-digits", "gancore-losses", "gancore-mlp", "gancore-optimizers",
    }  # fmt: skip
    assert tables["optimizer"]["name"] == "gancore-optimizers/adam"
    assert tables["optimizer"]["lr"] == 2e-4, "also what the file left to the default"
    assert gancore("train", recorded, "--out", "again").code == 0
    assert (tmp_path / "again" / "experiment.toml").read_text() == recorded.read_text()
    last = Path("checkpoints", "step-00000006", "tensors.safetensors")
    assert (tmp_path / "again" / last).read_bytes() == (once_trained[0] / last).read_bytes(), "to the bit"


def test_run_folders_are_numbered(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    short = "--set", "train.steps=1", "--set", "callback=[]"
    assert gancore("train", tiny, *short).out == "runs/tiny-1\n"
    (tmp_path / "runs" / "tiny-7").mkdir()
    for other in ("tiny-old", "tiny", "99", "other-50"):
        (tmp_path / "runs" / other).mkdir()
    assert gancore("train", tiny, *short).out == "runs/tiny-8\n"
    assert gancore("train", tiny, *short).out == "runs/tiny-9\n"


def test_a_name_may_look_like_a_pattern(gancore: Gancore, tiny: Path) -> None:
    short = "--set", "train.steps=1", "--set", "callback=[]", "--set", 'name="a[b]*"'
    assert [gancore("train", tiny, *short).out for _ in range(2)] == ["runs/a[b]*-1\n", "runs/a[b]*-2\n"]


@pytest.mark.parametrize("callbacks", [(), ("--set", "callback=[]")], ids=["default callbacks", "no callback"])
def test_a_folder_that_holds_something_is_refused_and_not_touched(
    callbacks: tuple[str, ...], gancore: Gancore, tiny: Path, tmp_path: Path
) -> None:
    """Before anything is trained, whoever would have written first."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("\\end")
    said = gancore("train", tiny, "--out", "mine", *callbacks)
    assert (said.code, said.out) == (2, "")
    assert said.err == "mine: is not empty; choose another --out, or go on with `gancore resume`\n"
    assert tree(tmp_path) == {"tiny.toml", "mine", "mine/thesis.tex"}


def test_an_empty_folder_is_taken(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert gancore("train", tiny, "--out", "empty", "--set", "train.steps=1").out == "empty\n"


def test_a_file_in_the_way_is_a_message(gancore: Gancore, tiny: Path) -> None:
    said = gancore("train", tiny, "--out", tiny)
    assert (said.code, said.err) == (2, f"{tiny}: cannot be made: File exists\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.toml",), "none.toml: does not exist; `gancore init` writes one\n"),
        (
            ("tiny.toml", "--set", "train.step=1"),
            '--set train.step=1: train.step: unknown option; did you mean "steps"?\n',
        ),
        (("tiny.toml", "--set", "train.steps"), "--set train.steps: expected KEY=VALUE, such as train.steps=100\n"),
        (
            ("tiny.toml", "--set", "train.device=tpu"),
            'train.device: expected "auto", "cpu", "cuda" or "cuda:N", got "tpu"\n',
        ),
        (
            ("tiny.toml", "--set", "train.batch_size=1798"),
            "the data have 1797 samples, fewer than train.batch_size = 1798; choose a smaller one\n",
        ),
    ],
    ids=["no file", "a typo", "no value", "device", "batch"],
)
def test_a_mistake_exits_with_2_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, gancore: Gancore, tiny: Path, tmp_path: Path
) -> None:
    said = gancore("train", *arguments)
    assert (said.code, said.out, said.err) == (2, "", message)
    assert tree(tmp_path) == {"tiny.toml"}


def test_a_run_that_went_bad_exits_with_1_and_says_which_number(process: Gancore, tiny: Path, tmp_path: Path) -> None:
    said = process("train", tiny, "--out", "bad", "--set", "optimizer.lr=1e30")
    assert (said.code, said.out) == (1, "")
    assert "step 2: " in said.err
    assert "loss/discriminator is nan" in said.err
    assert "failed at step 2" in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "bad" / "checkpoints").exists()


def test_sick_weights_are_not_saved(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    """A checkpoint is due before the log looks."""
    said = gancore(
        "train", tiny, "--out", "bad", "--set", "optimizer.lr=1e30", "--set", "log.every=6", "--set", "callback=[]"
    )
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("step 4: generator parameter layers.0.weight is not finite; not saved. First, in step ")
    assert not (tmp_path / "bad" / "checkpoints").exists()


def test_several_processes_do_not_train_into_one_folder_each(process: Gancore, tiny: Path, tmp_path: Path) -> None:
    """As torchrun would start them."""
    said = process("train", tiny, WORLD_SIZE="2", RANK="0")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(
        "WORLD_SIZE says that several processes were started, but the command line trains in one"
    )
    assert not (tmp_path / "runs").exists()
