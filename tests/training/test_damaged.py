"""Samples that cannot be read: the end of a run, or others in their places, counted and said."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from gancore import DataError, DataSpec, checkpoint
from gancore.training.damaged import MOST, WHOLE, Skipping
from gancore.training.feed import TOLD, Feed, Order, ResidentFeed, open_feed

CPU = torch.device("cpu")
VECTORS = DataSpec((1,), range=None)
LABELLED = DataSpec((1,), classes=3, range=None)


class Files(Dataset[tuple[Tensor, ...]]):
    """Sample i is the number i, with the label i % 3 if there are labels; some cannot be read."""

    def __init__(
        self, size: int, damaged: set[int], *, labels: bool = False, error: type[Exception] = DataError
    ) -> None:
        self.size, self.damaged, self.labels, self.error = size, damaged, labels, error

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        if index in self.damaged:
            raise self.error(f"{index}.png: cannot be decoded")
        value = torch.tensor([float(index)])
        return (value, torch.tensor(index % 3)) if self.labels else (value,)


def opened(
    data: Dataset[Any], spec: DataSpec = VECTORS, *, skip: bool = True, workers: int = 0, batch: int = 5
) -> Feed:
    return open_feed(data, spec, batch_size=batch, seed=7, device=CPU, workers=workers, skip_damaged=skip)


def drawn(feed: Feed, batches: int) -> list[list[int]]:
    return [feed.next()[0].int().flatten().tolist() for _ in range(batches)]


# --------------------------------------------------------------------------------------------- which takes its place


def test_the_next_one_that_can_be_read_takes_the_place() -> None:
    data = Skipping(Files(6, {1, 2, 5}))
    assert [(int(value), int(damaged)) for value, damaged in (data[i] for i in range(len(data)))] == [
        (0, WHOLE), (3, 1), (3, 2), (3, WHOLE), (4, WHOLE), (0, 5),
    ]  # fmt: skip


def test_the_label_comes_with_the_sample() -> None:
    value, label, damaged = Skipping(Files(6, {1}, labels=True))[1]
    assert (int(value), int(label), int(damaged)) == (2, 2, 1)


def test_the_system_saying_no_is_damage_too_but_a_mistake_in_the_code_is_not() -> None:
    assert int(Skipping(Files(6, {1}, error=FileNotFoundError))[1][0]) == 2
    with pytest.raises(ValueError, match=r"^1.png"):
        Skipping(Files(6, {1}, error=ValueError))[1]


def test_a_hundred_in_a_row_are_too_many() -> None:
    assert MOST == 100
    assert int(Skipping(Files(300, set(range(99))))[0][0]) == 99
    with pytest.raises(DataError, match=r"^100 samples in a row cannot be read; the last: 99\.png: cannot be decoded$"):
        Skipping(Files(300, set(range(100))))[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_hundred_in_a_row_end_the_run_that_skips(workers: int) -> None:
    feed = opened(Files(300, set(range(100, 300))), workers=workers, batch=100)
    with pytest.raises(
        DataError, match=r"\A100 samples in a row cannot be read; the last: \d+\.png: cannot be decoded\Z"
    ):
        drawn(feed, 3)


def test_what_can_be_read_the_second_time_is_said_to() -> None:
    assert Skipping(Files(6, {1})).why(1) == "1.png: cannot be decoded"
    assert Skipping(Files(6, {1})).why(2) == "sample 2 could not be read, but can be now"


# ----------------------------------------------------------------------------------------------------------- the feed


@pytest.mark.parametrize("workers", [0, 2])
def test_told_to_stop_it_names_the_sample(workers: int) -> None:
    feed = opened(Files(20, {13}), skip=False, workers=workers)
    with pytest.raises(DataError, match=r"\A13\.png: cannot be decoded\Z"):
        drawn(feed, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_told_to_skip_it_counts_each_once(workers: int) -> None:
    feed = opened(Files(20, {3, 4, 13}), workers=workers)
    assert feed.damaged == {}
    for _ in range(3):  # epochs
        shown = [number for batch in drawn(feed, 4) for number in batch]
        assert sorted(shown) == sorted([*(set(range(20)) - {3, 4, 13}), 5, 5, 14])
        assert feed.damaged == {index: f"{index}.png: cannot be decoded" for index in (3, 4, 13)}


def test_whole_data_come_as_they_would_without_being_told_to_skip() -> None:
    assert drawn(opened(Files(20, set())), 8) == drawn(opened(Files(20, set()), skip=False), 8)


def test_batches_do_not_depend_on_how_many_read() -> None:
    assert drawn(opened(Files(40, {3, 4, 13})), 12) == drawn(opened(Files(40, {3, 4, 13}), workers=2), 12)


@pytest.mark.parametrize("workers", [0, 2])
def test_in_the_middle_of_an_epoch_a_feed_goes_on_with_the_same(workers: int, tmp_path: Path) -> None:
    damaged = {3, 4, 13, 30}
    whole = opened(Files(40, damaged), workers=workers)
    begun = drawn(whole, 3)
    state = checkpoint.load(checkpoint.save(tmp_path, 3, {"feed": whole.state_dict()}))["feed"]
    assert drawn(opened(Files(40, damaged), workers=workers), 3) == begun
    other = opened(Files(40, damaged), workers=workers)
    other.load_state_dict(state)
    assert other.damaged == whole.damaged
    assert set(other.damaged) < damaged, "it is to be in the middle"
    assert drawn(other, 9) == drawn(whole, 9)
    assert other.damaged == whole.damaged
    assert set(other.damaged) == damaged


def test_labels_stay_with_their_samples() -> None:
    values, labels = opened(Files(20, {3, 4, 13}, labels=True), LABELLED, batch=20).next()
    assert labels is not None
    assert torch.equal(values.flatten().long() % 3, labels)


def test_data_without_the_labels_they_promise_are_refused_all_the_same() -> None:
    with pytest.raises(DataError, match="says it has 3 classes, but its samples have no label"):
        opened(Files(20, set()), LABELLED)


def test_reasons_are_kept_of_the_first_few_only() -> None:
    damaged = set(range(0, 200, 2))
    feed = opened(Files(200, damaged), batch=200)
    drawn(feed, 1)
    assert set(feed.damaged) == damaged
    assert sum(map(bool, feed.damaged.values())) == TOLD


def test_reals_to_look_at_skip_without_counting() -> None:
    feed = opened(Files(20, {0, 10}))
    assert feed.sample(4).int().flatten().tolist() == [1, 5, 11, 15]
    assert feed.damaged == {}


def test_tensors_cannot_be_damaged() -> None:
    feed = opened(TensorDataset(torch.zeros(20, 1)))
    assert isinstance(feed, ResidentFeed)
    assert feed.damaged == {}


# ----------------------------------------------------------------------------------------- files, and a whole run


class Texts(Dataset[tuple[Tensor]]):
    """Numbers in files, opened when they are asked for."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        for i in range(size):
            (folder / f"{i}.txt").write_text(str(i))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor]:
        return (torch.tensor([float((self.folder / f"{index}.txt").read_text())] * 2),)


PLANE = DataSpec((2,), range=None)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("skip", [False, True])
def test_a_file_that_vanishes_is_skipped_or_named(skip: bool, workers: int, tmp_path: Path) -> None:
    """Without a word of ours in between: what the system says is an error of the data."""
    feed = opened(Texts(tmp_path, 40), PLANE, skip=skip, workers=workers)
    feed.next()
    late = int(Order(40, 5, 7).permutation()[-1])  # in the last batch, which nobody has fetched yet
    (tmp_path / f"{late}.txt").unlink()
    if skip:
        for _ in range(7):
            feed.next()
        assert set(feed.damaged) == {late}
        assert f"{late}.txt" in feed.damaged[late]
    else:
        with pytest.raises(DataError, match=rf"No such file or directory.*{late}\.txt'\Z"):
            drawn(feed, 7)


RUN = """
[train]
steps = 20
batch_size = 10
device = "cpu"
workers = 0
damaged = "skip"
[log]
every = 1
[checkpoint]
every = 7
[model]
name = "mlp"
latent_dim = 4
hidden = [8]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
[[callback]]
name = "stats"
"""


def logged(folder: Path) -> list[float]:
    lines = (folder / "stats.jsonl").read_text().splitlines()
    return [json.loads(line).get("data/damaged", 0.0) for line in lines]


def in_the_batches(size: int, *counts: int) -> set[int]:
    """As many indices of the first batches of ten as `counts` says."""
    order = Order(size, 10, seed=0).permutation()
    return {int(index) for i, n in enumerate(counts) for index in order[10 * i : 10 * i + n]}


def test_a_run_says_how_many_at_the_first_and_at_ten_times_as_many(
    assemble: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Files(200, in_the_batches(200, 0, 1, 8, 0, 1))
    with caplog.at_level(logging.WARNING, "gancore"):
        assemble(RUN, data=data, spec=VECTORS, out=tmp_path / "run").train()
    said = [record.getMessage() for record in caplog.records if "could not be read" in record.getMessage()]
    index = next(iter(in_the_batches(200, 0, 1) - in_the_batches(200, 0)))
    assert said == [
        f"step {step}: {n} of 200 samples could not be read and others took their places "
        f'(train.damaged = "skip"); the first: {index}.png: cannot be decoded'
        for step, n in ((2, 1), (5, 10))
    ]
    assert logged(tmp_path / "run") == [0, 1, 9, 9, *[10] * 16]


def test_a_run_whose_data_are_whole_has_no_such_number(assemble: Any, tmp_path: Path) -> None:
    assemble(RUN, data=Files(200, set()), spec=VECTORS, out=tmp_path / "run").train()
    assert "damaged" not in (tmp_path / "run" / "stats.jsonl").read_text()


def test_a_run_told_to_stop_names_the_sample_and_keeps_what_it_has(assemble: Any, tmp_path: Path) -> None:
    data = Files(200, in_the_batches(200, *[0] * 8, 1))
    run = assemble(RUN, 'train.damaged="stop"', data=data, spec=VECTORS, out=tmp_path / "run")
    with pytest.raises(DataError, match=r"^\d+\.png: cannot be decoded$"):
        run.train()
    assert checkpoint.load_latest(tmp_path / "run")[0]["step"] == 7


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_skips_the_same_and_ends_the_same(workers: int, assemble: Any, tmp_path: Path) -> None:
    def assembled(out: str, *overrides: str) -> Any:
        data = Files(150, in_the_batches(150, 1, 0, 2, 0, 0, 0, 3, 1, 0, 2))
        options = (f"train.workers={workers}", *overrides)
        return assemble(RUN, *options, data=data, spec=VECTORS, out=tmp_path / out)

    assembled("whole").train()
    assembled("died", "train.steps=7").train()  # in the middle of the first of two epochs
    resumed = assembled("died")
    resumed.make_folder = lambda: tmp_path / "died"
    resumed.load_state_dict(checkpoint.load_latest(tmp_path / "died")[0])
    resumed.train()
    assert logged(tmp_path / "died") == logged(tmp_path / "whole")
    assert logged(tmp_path / "whole")[-1] == 9
    ends = [checkpoint.load_latest(tmp_path / name)[0] for name in ("whole", "died")]
    assert ends[0]["feed"] == ends[1]["feed"]
    for role in ("generator", "discriminator"):
        networks = [end[role]["network"] for end in ends]
        assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])


# --------------------------------------------------------------------------------------------- a worker that dies

# In processes of their own: torch raises in whatever Python is doing when a worker dies, which could be pytest.
PLUGIN = """
import multiprocessing, os, signal, time
import torch
from torch.utils.data import Dataset, get_worker_info
from gancore import Component, DataSpec, component, hookimpl, option

class Numbers(Dataset):
    def __init__(self, deadly):
        self.deadly = deadly
    def __len__(self):
        return 100
    def __getitem__(self, index):
        if index == self.deadly and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return (torch.tensor([float(index)]),)

@component
class Deadly:
    index: int = option(-1, "Where a reader is ended by the system, as for want of memory.")
    def spec(self):
        return DataSpec((1,), range=None)
    def load(self):
        return Numbers(self.index)

class Network(torch.nn.Module):
    def __init__(self, busy):
        super().__init__()
        self.layer, self.calls, self.busy = torch.nn.Linear(1, 1), 0, busy
    def forward(self, x, y=None):
        self.calls += 1
        if self.busy and self.calls == 5:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
            time.sleep(30)  # until the signal of the death comes; Process.join would swallow it
        return self.layer(x) if self.busy else self.layer(x).squeeze(1)

@component
class Busy:
    latent_dim: int = 1
    mixes_samples: bool = False
    def generator(self, data):
        return Network(True)
    def discriminator(self, data):
        return Network(False)

@hookimpl
def gancore_datasets():
    return [Component("deadly", "deadly:Deadly", "Ends its readers.")]

@hookimpl
def gancore_models():
    return [Component("busy", "deadly:Busy", "Its generator takes its time, and meanwhile a reader dies.")]
"""
BUSY = """
[model]
name = "busy"
[data]
name = "deadly"
"""
DEADLY = """
[model]
name = "mlp"
[data]
name = "deadly"
index = 50
"""


@pytest.mark.parametrize(
    ("tables", "damaged"),
    [(DEADLY, "stop"), (DEADLY, "skip"), (BUSY, "skip")],
    ids=["while it is waited for", "where damage is skipped", "while a network is busy"],
)
def test_a_worker_that_dies_is_said_to(
    tables: str, damaged: str, tmp_path: Path, install: Any, fake_site: Path
) -> None:
    install("gancore-deadly", deadly=PLUGIN)
    engine = RUN.partition("[model]")[0].replace("workers = 0", "workers = 2").replace("skip", damaged)
    rest = RUN[RUN.index("[loss]") :]
    (tmp_path / "x.toml").write_text(engine + tables + rest)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(fake_site), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "gancore", "train", "x.toml", "--out", "run", "--set", "train.steps=200"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "a process that reads the data has died" in done.stderr
    assert "try fewer train.workers or smaller pictures" in done.stderr
    assert "Traceback" not in done.stderr
    assert "an error in gancore or a plugin" not in done.stderr
