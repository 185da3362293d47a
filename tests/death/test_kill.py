"""Killed at any moment, a run can be resumed, and ends as if nothing had happened. kills.py has more of it."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SPEC = importlib.util.spec_from_file_location("kills", Path(__file__).with_name("kills.py"))
assert SPEC is not None
assert SPEC.loader is not None
kills: Any = importlib.util.module_from_spec(SPEC)
sys.modules["kills"] = kills  # attrs looks there for the types of annotations
SPEC.loader.exec_module(kills)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc which file is changed"),
]


def test_killed_runs_end_like_those_that_were_left_alone() -> None:
    """In a process of its own: what other tests have started here does not survive a fork."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.death.kills", "--kills", "16", "--seed", "0"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_that_dies_in_every_checkpoint_leaves_one_piece_of_them_at_most(tmp_path: Path) -> None:
    """As where the memory for one is what is lacking, and a supervisor resumes for ever."""
    kills.furnish(kills.EXPERIMENTS["digits, lazy r1"], tmp_path)
    run, log = tmp_path / "run", tmp_path / "log"
    moments = kills.prepare("digits", tmp_path).moments["checkpoint"]
    assert kills.killed_at(moments // 2, "checkpoint", ("train", "it.toml", "--out", "run"), tmp_path, run, log) == -9
    for _ in range(4):  # the temporary folder has been made
        assert kills.killed_at(2, "checkpoint", ("resume", "run"), tmp_path, run, log) == -9
    assert len(list((run / "checkpoints").glob(".*"))) == 1


def test_the_readers_of_a_killed_run_do_not_keep_it_locked(tmp_path: Path) -> None:
    """They live on for some seconds; who resumes at once must not be told that somebody trains in the folder."""
    kills.furnish(kills.EXPERIMENTS["streamed pictures, one worker"], tmp_path)
    run, log = tmp_path / "run", tmp_path / "log"
    moments = kills.prepare("streamed", tmp_path).moments["checkpoint"]
    assert kills.killed_at(moments // 2, "checkpoint", ("train", "it.toml", "--out", "run"), tmp_path, run, log) == -9
    assert kills.ended(kills.start(("resume", "run"), tmp_path, log), kills.PATIENCE) == 0, log.read_text()
