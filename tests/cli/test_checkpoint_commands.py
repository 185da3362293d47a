"""`gancore checkpoint` and what [checkpoint] keeps."""

import json
from pathlib import Path
from typing import Any

import pytest

Gancore = Any


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_list_tells_step_size_and_age(gancore: Gancore, trained: Path) -> None:
    said = gancore("checkpoint", "list", "run")
    assert (said.code, said.err) == (0, "")
    first, second = (line.split() for line in said.out.splitlines())
    assert (first[0], second[0]) == ("4", "6")
    assert first[2] == "KiB"
    assert len(first) == 5, "date and time, and no numbers"


def test_verify_reads_every_byte(gancore: Gancore, trained: Path) -> None:
    assert gancore("checkpoint", "verify", "run").out.count("good") == 2
    tensors = trained / "checkpoints" / "step-00000004" / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    said = gancore("checkpoint", "verify", "run")
    assert said.code == 1
    assert said.out.splitlines()[0].endswith(
        "4  tensors.safetensors is damaged (its SHA-256 is not the one of the manifest)"
    )
    assert "6  good" in said.out.splitlines()[1]


def test_list_goes_on_behind_a_damaged_manifest(gancore: Gancore, trained: Path) -> None:
    (trained / "checkpoints" / "step-00000004" / "manifest.json").write_text("{}")
    said = gancore("checkpoint", "list", "run")
    assert said.code == 0
    assert "is damaged" in said.out.splitlines()[0]
    assert said.out.splitlines()[1].split()[0] == "6"


def test_prune_keeps_the_newest_and_nothing_is_deleted_if_that_is_damaged(gancore: Gancore, trained: Path) -> None:
    state = trained / "checkpoints" / "step-00000006" / "state.json"
    text = state.read_text()
    state.write_text(text[:-1])
    said = gancore("checkpoint", "prune", "run")
    assert said.code == 2
    assert "state.json is damaged" in said.err
    assert names(trained) == ["step-00000004", "step-00000006"]
    state.write_text(text)
    said = gancore("checkpoint", "prune", "run")
    assert (said.code, said.out) == (0, "deleted step-00000004\n1 deleted, 1 kept\n")
    assert names(trained) == ["step-00000006"]


@pytest.mark.parametrize("command", ["list", "verify", "prune"])
def test_no_run_and_no_checkpoint_are_told_apart(command: str, gancore: Gancore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert gancore("checkpoint", command, "nowhere").err == "nowhere: is no run folder: there is no such folder\n"
    said = gancore("checkpoint", command, "empty")
    assert (said.code, said.err) == (2, "empty: has no checkpoint\n")


@pytest.mark.parametrize("command", ["list", "verify", "prune"])
def test_the_help_of_each_has_an_example(command: str, gancore: Gancore) -> None:
    assert f"Example: gancore checkpoint {command} runs/digits-1" in gancore("checkpoint", command, "--help").out


METRIC = """
import gancore, torch

class Hooks:
    @gancore.hookimpl
    def gancore_metrics(self):
        return [gancore.Component("countdown", "countdown:Countdown", "Best in the middle.")]

plugin = Hooks()
gancore_metrics = plugin.gancore_metrics

@gancore.component
class Countdown:
    every: int = gancore.option(2, "Steps.")
    samples: int = gancore.option(4, "Samples.")
    calls: dict = gancore.state(dict)
    def evaluate(self, real, fake):
        self.calls["n"] = self.calls.get("n", 0) + 1
        return {"far": abs(self.calls["n"] - 2.0)}
    def state_dict(self):
        return dict(self.calls)
    def load_state_dict(self, state):
        self.calls.update(state)
"""


def test_the_best_checkpoint_is_kept_besides_the_newest(
    gancore: Gancore, tiny: Path, tmp_path: Path, install: Any
) -> None:
    install("gancore-countdown", countdown=METRIC)
    settings = ["train.steps=12", "checkpoint.every=2", "checkpoint.keep=2", 'metric=[{name="countdown"}]']
    best = ["--set", 'checkpoint.best="metric/countdown/far"']
    words = [word for setting in settings for word in ("--set", setting)]
    assert gancore("train", tiny, "--out", "run", *words, *best).code == 0
    assert names(tmp_path / "run") == ["step-00000004", "step-00000010", "step-00000012"]
    manifest = json.loads((tmp_path / "run" / "checkpoints" / "step-00000004" / "manifest.json").read_text())
    assert manifest["numbers"] == {"metric/countdown/far": 0.0}
    assert "metric/countdown/far 0" in gancore("checkpoint", "list", "run").out.splitlines()[0]
    said = gancore("sample", "run", "--best", "-n", "4")
    assert said.out.startswith("4 samples of step-00000004: ")
    gancore("checkpoint", "prune", "run")
    assert names(tmp_path / "run") == ["step-00000004", "step-00000012"]
    worst = [*best, "--set", 'checkpoint.best_is="highest"']
    assert gancore("train", tiny, "--out", "worst", *words, *worst).code == 0
    assert names(tmp_path / "worst") == ["step-00000010", "step-00000012"], "the worst is the last one"


def test_a_number_that_is_never_logged_is_said(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    said = gancore("train", tiny, "--out", "run", "--set", 'checkpoint.best="fid"')
    assert said.code == 0
    assert said.err.count("[checkpoint] best = 'fid': nothing of this name was logged so far") == 1
    assert "loss/discriminator" in said.err
    assert "no best checkpoint" in gancore("sample", "run", "--best").err
