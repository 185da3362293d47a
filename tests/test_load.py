"""A long run on a large folder: how soon it starts, how often the folder is read, what it takes in memory."""

import json
import os
import subprocess
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.slow

MIB = 1 << 20
SECONDS_TO_THE_FIRST_STEP = 10
FOLDERS, EACH, BATCH = 10, 10_000, 32
BEFORE, AFTER = 300, 2_300  # steps between which memory may not grow

EXPERIMENT = """
[train]
batch_size = 32
device = "cpu"
damaged = "skip"
[data]
name = "image-folder"
root = "pictures"
size = 16
[model]
name = "mlp"
latent_dim = 8
hidden = [16]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
[[callback]]
name = "stats"
"""

# Trains load.toml; says when each of the steps named was done, and the memory then. What is listed below pictures/ is
# written to a file, because workers list too, should they.
TRAIN = """
import json, multiprocessing, os, sys, time

steps, listed = set(map(int, sys.argv[1].split(","))), os.open("listed", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
scandir = os.scandir

def counted(path="."):
    if "pictures" in str(path):
        os.write(listed, f"{path}\\n".encode())
    return scandir(path)

os.scandir = counted

import gancore
import gancore_images.image_folder
from gancore.training.observers import Observers

def resident(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

class Meter:
    every = 1

    def stepped(self, run):
        if run.step in steps:
            workers = {child.pid: resident(child.pid) for child in multiprocessing.active_children()}
            seen = {"step": run.step, "time": time.monotonic() - began, "main": resident("self"), "workers": workers}
            print(json.dumps({**seen, "damaged": len(run.game.feed.damaged)}), flush=True)

experiment = gancore.load("load.toml", sys.argv[2:])
began = time.monotonic()
run = experiment.assemble(out="run")
run.observers = Observers({"meter": Meter(), **run.callbacks}, strict=True)
run.train()
"""


def trained(folder: Path, steps: list[int], *overrides: str) -> list[dict[str, Any]]:
    """Train in a process of its own; what the meter saw."""
    (folder / "load.toml").write_text(EXPERIMENT)
    named = ",".join(map(str, steps))
    command = [sys.executable, "-c", TRAIN, named, f"train.steps={steps[-1]}", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def pictures() -> list[bytes]:
    """A hundred files, the first of them cut short."""
    files = []
    for i in range(100):
        noise = torch.randint(0, 256, (12 * 16 * 3,), dtype=torch.uint8, generator=torch.Generator().manual_seed(i))
        buffer = BytesIO()
        Image.frombytes("RGB", (12, 16), bytes(noise.tolist())).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return [files[0][:-100], *files[1:]]


def fill(folder: Path, folders: int, each: int) -> None:
    """Hard links, because a hundred thousand files take longer; every hundredth picture is damaged."""
    originals = folder / "originals"
    originals.mkdir()
    for i, content in enumerate(pictures()):
        (originals / str(i)).write_bytes(content)
    for name in range(folders):
        (folder / "pictures" / str(name)).mkdir(parents=True)
        for i in range(each):
            os.link(originals / str(i % 100), folder / "pictures" / str(name) / f"{i}.png")


def listings(folder: Path) -> Counter[str]:
    """How often each folder was listed."""
    return Counter(os.path.relpath(line, folder) for line in (folder / "listed").read_text().splitlines())


def damaged_among_the_first(samples: int, size: int) -> int:
    from gancore.training.feed import Order

    return int((Order(size, BATCH, seed=0).permutation()[:samples] % 100 == 0).sum())


def test_two_thousand_steps_on_a_hundred_thousand_files(tmp_path: Path, record_property: Any) -> None:
    fill(tmp_path, FOLDERS, EACH)
    first, before, after = trained(tmp_path, [1, BEFORE, AFTER])
    growth = after["main"] - before["main"]
    workers = {pid: after["workers"][pid] - was for pid, was in before["workers"].items()}
    speed = (AFTER - BEFORE) / (after["time"] - before["time"])
    measured = {"first step, s": first["time"], "growth, MiB": growth / MIB, "steps/s": speed}
    measured |= {f"growth of a worker, MiB, {i}": grown / MIB for i, grown in enumerate(workers.values())}
    for name, value in measured.items():
        record_property(name, round(value, 2))
    print(measured)
    assert first["time"] < SECONDS_TO_THE_FIRST_STEP
    assert growth < 20 * MIB
    assert len(workers) == 2, "the same ones all along"
    assert max(workers.values()) < 20 * MIB
    once = {"pictures": 1, **{f"pictures/{name}": 1 for name in range(FOLDERS)}}
    assert listings(tmp_path) == once
    assert after["damaged"] == damaged_among_the_first(AFTER * BATCH, FOLDERS * EACH)
    last = json.loads((tmp_path / "run" / "stats.jsonl").read_text().splitlines()[-1])
    assert (last["step"], last["data/damaged"]) == (AFTER, after["damaged"])


@pytest.mark.parametrize("workers", [0, 2])
def test_every_epoch_goes_on_with_the_files_found_at_first(workers: int, tmp_path: Path) -> None:
    fill(tmp_path, 2, 100)
    (end,) = trained(tmp_path, [40], f"train.workers={workers}")  # six steps an epoch
    assert listings(tmp_path) == {"pictures": 1, "pictures/0": 1, "pictures/1": 1}
    assert end["damaged"] == 2
