"""A disk that is full, not writable, or gone, at any write of a run.

The disk is a small tmpfs, so these tests need the right to mount one: root, or `unshare -Urm python -m pytest -m slow
tests/death/test_disk_full.py`, which the last test does for whoever is not root.
"""

import contextlib
import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, frozen

from gancore import checkpoint

SPEC = importlib.util.spec_from_file_location("kills", Path(__file__).with_name("kills.py"))
assert SPEC is not None
assert SPEC.loader is not None
kills: Any = importlib.util.module_from_spec(SPEC)
sys.modules["kills"] = kills  # attrs looks there for the types of annotations
SPEC.loader.exec_module(kills)

pytestmark = pytest.mark.slow

PAGE = 4096  # bytes: what a file on tmpfs takes at least
MEGABYTES = 4
EXPERIMENT = kills.EXPERIMENTS["digits, lazy r1"]
NAMED = re.compile(r"No space left on device|disk is full|no space left")

# What is written, by the file whose opening (or the folder whose making) comes just before. The number: how many of
# those go well first.
WRITES = {
    "experiment.toml": (r"\.experiment\.toml\.tmp$", 0),
    "events": (r"events\.out", 0),
    "events, later": (r"events\.out", 9),
    "stats.jsonl": (r"stats\.jsonl$", 0),
    "health.jsonl": (r"health\.jsonl$", 0),
    "health.json": (r"\.health\.json\.tmp$", 0),
    "samples": (r"samples/\.step-00000005\.png", 0),
    "samples, later": (r"samples/\.step-00000020\.png", 0),
    "tensors, the first": (r"checkpoints/\.step-00000003\.\d+\.tmp$", 0),
    "tensors, later": (r"checkpoints/\.step-00000012\.\d+\.tmp$", 0),
    "state.json": (r"\.step-00000012\..*/state\.json$", 0),
    "experiment.toml of a checkpoint": (r"\.step-00000012\..*/experiment\.toml$", 0),
    "manifest.json": (r"\.step-00000012\..*/manifest\.json$", 0),
    "tensors, the last": (r"checkpoints/\.step-00000024\.\d+\.tmp$", 0),
}


@frozen
class Said:
    code: int | None
    err: str

    @property
    def last(self) -> str:
        return self.err.splitlines()[-1] if self.err else ""


@define
class Disk:
    """A tmpfs, and the folder beside it in which commands are called."""

    path: Path
    place: Path
    alone: Any

    def fill(self, leave: int = 0) -> None:
        """Write until the disk is full, and then make `leave` pages of room."""
        with (self.path / "ballast").open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(PAGE))
            file.truncate(max(0, file.tell() - leave * PAGE))

    def free(self) -> None:
        (self.path / "ballast").unlink(missing_ok=True)

    @property
    def run(self) -> Path:
        return self.path / "run"

    def gancore(self, *arguments: str | Path, first: Callable[[], object] = int) -> Said:
        log = self.place / "log"
        log.unlink(missing_ok=True)
        code = kills.ended(kills.start(arguments, self.place, log, first), kills.PATIENCE)
        return Said(code, log.read_text())

    def train(self, first: Callable[[], object] = int) -> Said:
        return self.gancore("train", "it.toml", "--out", self.run, first=first)

    def goes_on(self) -> None:
        """What was good is still good, and with room on the disk the run becomes the one that was left alone."""
        found = checkpoint.folders(self.run)
        for folder in found:
            checkpoint.load(folder)
        self.free()
        said = self.gancore("resume", self.run)
        if not found:
            assert (said.code, said.err.count("\n")) == (2, 1), said
            return
        at_its_end = said.code == 2 and "has finished its" in said.last
        assert said.code == 0 or at_its_end, said
        assert kills.compare(self.alone, self.run, at_its_end=at_its_end) == []


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty tmpfs."""
    path = tmp_path_factory.mktemp("disk")
    options = ["-t", "tmpfs", "-o", f"size={MEGABYTES}m"]
    done = subprocess.run(["mount", *options, "tmpfs", path], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with an experiment, and what it leaves behind undisturbed."""
    place = tmp_path_factory.mktemp("place")
    kills.furnish(EXPERIMENT, place)
    kills.warm_up(place)
    return place, kills.prepare("digits", place).alone


@pytest.fixture
def disk(mounted: Path, furnished: tuple[Path, Any]) -> Iterator[Disk]:
    """With nothing on it."""
    disk = Disk(mounted, *furnished)
    yield disk
    disk.free()
    shutil.rmtree(disk.run, ignore_errors=True)


def opening(pattern: str, spared: int, act: Callable[[], object]) -> Callable[[], object]:
    """For a child: do something before a file (or folder) is written whose path matches; once, after so many."""
    left = [spared + 1]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writing = event == "os.mkdir" or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if not left[0] or not writing or isinstance(arguments[0], int):
            return
        if re.search(pattern, os.fsdecode(arguments[0])):
            left[0] -= 1
            if not left[0]:
                act()

    return lambda: sys.addaudithook(hook)


def check(disk: Disk, said: Said) -> None:
    """One line that names the disk and the folder, no traceback, and exit code 1."""
    assert said.code == 1, said
    assert NAMED.search(said.last), said.err
    assert str(disk.path) in said.last, said.err
    assert "Traceback" not in said.err, said.err


@pytest.mark.parametrize("what", WRITES)
def test_every_write_may_be_the_one_that_does_not_fit(what: str, disk: Disk) -> None:
    pattern, spared = WRITES[what]
    said = disk.train(opening(pattern, spared, disk.fill))
    if what == "experiment.toml":
        assert (said.code, said.err.count("\n")) == (2, 1), said
        assert NAMED.search(said.err)
        return
    check(disk, said)
    disk.goes_on()


def test_a_disk_of_any_size_is_full_at_some_time(disk: Disk) -> None:
    """The same without knowing what is written: page by page more room, until the run fits."""
    for pages in range(0, 1000, 3):
        disk.fill(leave=pages)
        said = disk.train()
        if said.code == 0:
            break
        if (disk.run / "stats.jsonl").exists():
            check(disk, said)
            disk.goes_on()
        else:
            assert said.code in (1, 2)
            assert NAMED.search(said.last), said.err
            assert "Traceback" not in said.err
        disk.free()
        shutil.rmtree(disk.run, ignore_errors=True)
    assert said.code == 0
    assert pages > 20


def test_a_folder_that_cannot_be_written_is_refused(disk: Disk) -> None:
    stopped = disk.gancore("train", "it.toml", "--out", disk.run, "--set", "train.steps=6")
    assert stopped.code == 0
    remount = ["mount", "-o", "remount"]
    subprocess.run([*remount, "-o", "ro", disk.path], check=True)
    try:
        resumed = disk.gancore("resume", disk.run, "--set", "train.steps=24")
        anew = disk.gancore("train", "it.toml", "--out", disk.path / "other")
    finally:
        subprocess.run([*remount, "-o", "rw", disk.path], check=True)
    for said, folder in ((resumed, disk.run), (anew, disk.path / "other")):
        assert said.code == 2, said
        assert said.err.count("\n") == 1
        assert str(folder) in said.err
        assert "Read-only file system" in said.err


def test_a_quota_that_is_used_up_is_a_full_disk(disk: Disk) -> None:
    """There is no quota to be had here: the error is made up."""

    def refuse() -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "stats.jsonl")

    said = disk.train(opening(r"stats\.jsonl$", 2, refuse))
    assert said.code == 1, said
    assert os.strerror(errno.EDQUOT) in said.last
    assert str(disk.run) in said.last
    assert "Traceback" not in said.err
    disk.goes_on()


def test_without_tensorboards_file_the_run_goes_on(disk: Disk) -> None:
    def refuse() -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "events.out")

    said = disk.train(opening(r"events\.out", 0, refuse))
    assert said.code == 0, said
    assert "callback 'tensorboard' failed and is switched off: PermissionError" in said.err
    assert "Traceback" not in said.err
    assert kills.differences(disk.alone.files, kills.outcome(disk.run).files) == []


@pytest.mark.parametrize("pattern", [r"stats\.jsonl$", r"samples/\.step-00000010", r"health\.jsonl$"])
def test_a_run_whose_folder_is_deleted_ends(pattern: str, disk: Disk) -> None:
    """It would go on for nothing: what made it a run folder is gone."""
    said = disk.train(opening(pattern, 0 if "samples" in pattern else 1, lambda: shutil.rmtree(disk.run)))
    assert said.code == 1, said
    assert str(disk.run) in said.last
    assert "Traceback" not in said.err
    assert not disk.run.exists()


def test_who_is_not_root_has_these_tests_in_a_namespace() -> None:
    if os.geteuid() == 0:
        pytest.skip("is root")
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("neither root nor allowed to have a namespace (unshare -Urm)")
    tests = [sys.executable, "-m", "pytest", "-q", "-m", "slow", __file__]
    done = subprocess.run(["unshare", "-Urm", *tests], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
