"""Ctrl-C and SIGTERM: a checkpoint, how to go on, and an end that really is one."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Gancore = Any

SIGNALLER = """
import signal
from gancore import Component, component, hookimpl, option

@component
class Signaller:
    every: int = option(1, "Steps before it sends.")
    started: bool = option(False, "Send before the first step.")
    times: int = option(1, "How often.")

    def train_started(self, run):
        if self.started:
            self.send()

    def stepped(self, run):
        if not self.started:
            self.send()

    def send(self):
        for _ in range(self.times):
            signal.raise_signal(signal.SIGINT)  # to this thread; os.kill may reach another one, later

@hookimpl
def gancore_callbacks():
    return [Component("signaller", "signaller:Signaller", "Sends SIGINT to its own process.")]
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_with_a_checkpoint_to_resume_from(
    name: str, gancore: Gancore, tiny: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "gancore", "train", "tiny.toml", "--out", "a run", "--set", "train.steps=100000"]
    quiet = ["--set", "checkpoint.every=50000"]
    process = subprocess.Popen([*command, *quiet], cwd=tmp_path, stdout=-1, stderr=-1, text=True)
    stats = tmp_path / "a run" / "stats.jsonl"
    for _ in range(600):
        if stats.exists() and stats.read_text().endswith("\n"):
            break
        with pytest.raises(subprocess.TimeoutExpired):  # it is still running
            process.wait(0.1)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == ({"SIGINT": 130, "SIGTERM": 143}[name], "")
    assert f"{name}: finishing this step; once more ends at once\n" in err
    assert err.endswith("to go on: gancore resume 'a run'\n")
    (folder,) = (tmp_path / "a run" / "checkpoints").iterdir()
    step = int(folder.name.removeprefix("step-"))
    assert 0 < step < 100_000
    assert f"interrupted at step {step} " in err
    said = gancore("resume", "a run", "--set", f"train.steps={step + 1}")
    assert (said.code, said.out) == (0, "a run\n")


def test_the_second_signal_ends_at_once(gancore: Gancore, tiny: Path, tmp_path: Path, install: Any) -> None:
    install("gancore-signaller", signaller=SIGNALLER)
    said = gancore(
        "train", tiny, "--out", "run", "--set", 'callback=[{name="signaller", times=2}]', "--set", "checkpoint.every=1"
    )
    assert (said.code, said.out) == (130, "")
    assert said.err.startswith("SIGINT: finishing this step; once more ends at once\n")
    assert "to go on" not in said.err
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_signal_before_the_first_step_promises_no_checkpoint(
    gancore: Gancore, tiny: Path, tmp_path: Path, install: Any
) -> None:
    install("gancore-signaller", signaller=SIGNALLER)
    said = gancore("train", tiny, "--out", "run", "--set", 'callback=[{name="signaller", started=true}]')
    assert (said.code, said.out) == (130, "")
    assert said.err == "SIGINT: finishing this step; once more ends at once\nnothing was trained\n"


def test_the_handlers_of_before_come_back(gancore: Gancore, tiny: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert gancore("train", tiny, "--set", "train.steps=1").code == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
