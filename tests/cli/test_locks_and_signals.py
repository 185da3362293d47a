"""One process per run folder, and the signals that a scheduler sends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gancore import checkpoint
from gancore.errors import RunFolderError

Gancore = Any
HOLD = """
import sys, time
from pathlib import Path
from gancore.checkpoint import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(trained: Path) -> Any:
    """Another process that holds the lock of `trained`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(trained)], stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_processes_cannot_train_into_one_folder(gancore: Gancore, trained: Path, holder: Any) -> None:
    before = sorted(path.name for path in trained.rglob("*"))
    for command in (["resume", "run", "--set", "train.steps=9"], ["checkpoint", "prune", "run"]):
        said = gancore(*command)
        assert (said.code, said.out) == (2, "")
        assert f"run: process {holder.pid} on " in said.err
        assert "is training in it; wait for it or end it, or choose another --out" in said.err
    assert sorted(path.name for path in trained.rglob("*")) == before
    assert gancore("sample", "run", "-n", "4").code == 0, "looking is allowed"


def test_the_lock_of_a_dead_process_is_none(gancore: Gancore, trained: Path, holder: Any) -> None:
    holder.kill()
    holder.wait()
    assert json.loads((trained / ".lock").read_text())["pid"] == holder.pid, "what it left behind"
    assert gancore("resume", "run", "--set", "train.steps=9").code == 0


def test_a_process_may_lock_within_its_own_lock_and_frees_it_at_the_end(trained: Path) -> None:
    with checkpoint.locked(trained), checkpoint.locked(trained / ".." / "run"):
        pass
    done = subprocess.run([sys.executable, "-c", HOLD.replace("60", "0"), str(trained)], capture_output=True, text=True)
    assert done.stdout == "locked\n"


def test_a_lock_that_is_a_link_is_not_followed(trained: Path, tmp_path: Path) -> None:
    (trained / ".lock").unlink()
    (tmp_path / "precious").write_text("keep")
    (trained / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(RunFolderError, match="cannot be locked"), checkpoint.locked(trained):
        pass
    assert (tmp_path / "precious").read_text() == "keep"


SIGNALS = """
import gancore, os, signal, time

class Hooks:
    @gancore.hookimpl
    def gancore_callbacks(self):
        return [gancore.Component("raises", "raises:Raises", "Sends a signal to its own process.")]

plugin = Hooks()
gancore_callbacks = plugin.gancore_callbacks

@gancore.component
class Raises:
    every: int = gancore.option(3, "Steps.")
    signal: str = gancore.option("SIGUSR1", "Which.")
    nap: float = gancore.option(0.0, "Seconds that the next thing takes.")
    def stepped(self, run):
        if run.step == self.every:
            os.kill(os.getpid(), getattr(signal, self.signal))
            time.sleep(self.nap)
"""


def test_usr1_writes_a_checkpoint_and_the_run_goes_on(
    gancore: Gancore, tiny: Path, tmp_path: Path, install: Any
) -> None:
    install("gancore-raises", raises=SIGNALS)
    quiet = ["--set", "checkpoint.every=100", "--set", "checkpoint.keep=9"]
    said = gancore("train", tiny, "--out", "run", *quiet, "--set", 'callback=[{name="raises"}, {name="stats"}]')
    assert (said.code, said.out) == (0, "run\n")
    assert [folder.name for folder in checkpoint.folders(tmp_path / "run")] == ["step-00000003", "step-00000006"]
    assert gancore("train", tiny, "--out", "undisturbed", *quiet).code == 0
    ends = [checkpoint.described(tmp_path / run / "checkpoints" / "step-00000006") for run in ("run", "undisturbed")]
    ours, theirs = (checkpoint.load(tmp_path / run / "checkpoints" / "step-00000006") for run in ("run", "undisturbed"))
    assert ours["ema"].keys() == theirs["ema"].keys()
    assert all(bool((ours["ema"][name] == theirs["ema"][name]).all()) for name in ours["ema"]), ends


def test_after_its_grace_a_terminated_run_ends_with_the_last_checkpoint(
    process: Gancore, tiny: Path, tmp_path: Path, fake_site: Path, install: Any
) -> None:
    install("gancore-raises", raises=SIGNALS)
    callback = 'callback=[{name="raises", every=5, signal="SIGTERM", nap=60.0}]'
    begin = time.monotonic()
    said = process(
        "train", tiny, "--out", "run", "--set", callback, "--set", "train.grace=0.5",
        PYTHONPATH=os.pathsep.join([str(fake_site), os.environ.get("PYTHONPATH", "")]),
    )  # fmt: skip
    assert said.code == 128 + signal.SIGTERM
    assert time.monotonic() - begin < 45
    assert "the step took longer than train.grace = 0.5 s; the last checkpoint stands" in said.err
    assert "Traceback" not in said.err
    assert [folder.name for folder in checkpoint.folders(tmp_path / "run")] == ["step-00000004"]
    assert gancore_resumes(process)


def gancore_resumes(process: Gancore) -> bool:
    return bool(process("checkpoint", "verify", "run").code == 0)
