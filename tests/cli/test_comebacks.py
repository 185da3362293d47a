"""Runs that ended badly and go on: one that was killed, one whose numbers went bad."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Gancore = Any

QUIET = ("--set", "callback=[{name='stats'}]")

# A loss that has enough of it after a while; it forgets its calls, so that a resumed run is healthy for as long again.
FICKLE = """
from gancore import Component, component, hookimpl, state

@component
class Fickle:
    needs_real = False
    boundary = "none"
    calls: list[int] = state(list)

    def discriminator(self, real, fake):
        self.calls.append(1)
        return fake.mean() - real.mean() * (1.0 if len(self.calls) <= 4 else float("nan"))

    def generator(self, real, fake):
        return -fake.mean()

@hookimpl
def gancore_losses():
    return [Component("fickle", "fickle:Fickle", "NaN from its fifth call on.")]
"""


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "stats.jsonl").read_text().splitlines()]


def test_a_killed_run_resumes_from_its_last_checkpoint(
    gancore: Gancore, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rhythm = ["--set", "train.steps=1000000", "--set", "checkpoint.every=1", "--set", "log.every=1"]
    command = [sys.executable, "-m", "gancore", "train", "tiny.toml", "--out", "run", *rhythm, *QUIET]
    run = tmp_path / "run"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and not list(run.glob("checkpoints/step-*")):
            assert time.monotonic() < deadline, "no checkpoint in two minutes"
            time.sleep(0.02)  # another process' files: there is nothing to wait on
        process.kill()
    assert process.returncode == -signal.SIGKILL
    latest = max(int(path.name[5:13]) for path in run.glob("checkpoints/step-*"))
    said = gancore("resume", "run", "--set", f"train.steps={latest + 3}")
    assert (said.code, said.out) == (0, "run\n")
    assert steps(run) == list(range(1, latest + 4))
    assert not list(run.glob("checkpoints/.*"))


def test_a_run_that_went_bad_goes_on_from_its_last_good_checkpoint(
    gancore: Gancore, tiny: Path, tmp_path: Path, install: Callable[..., None]
) -> None:
    install("gancore-fickle", fickle=FICKLE)
    said = gancore("train", tiny, "--out", "run", "--set", "loss.name=fickle", *QUIET)
    assert said.code == 1
    assert said.err.startswith("step 6: ")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    said = gancore("resume", "run")
    assert (said.code, said.out) == (0, "run\n")
    assert steps(tmp_path / "run") == [2, 4, 6]
