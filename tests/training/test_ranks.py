"""Several processes that train together, over gloo."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gancore.errors import UserError
from gancore.training.feed import Order
from gancore.training.latents import Latents
from gancore.training.ranks import ALONE, Ranks
from gancore.training.streams import stream

CPU = torch.device("cpu")


def test_alone_nothing_is_split_or_changed() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = gradient = torch.ones(2)
    ALONE.average_gradients([parameter])
    assert parameter.grad is gradient
    assert (ALONE.share(10), ALONE.seed(7), Ranks.here()) == (slice(0, 10), 7, ALONE)


def test_shares_are_disjoint_and_together_the_batch() -> None:
    rows = [list(range(12))[Ranks(rank, 3).share(12)] for rank in range(3)]
    assert [row for rank in rows for row in rank] == list(range(12))
    assert len({Ranks(rank, 3).seed(7) for rank in range(3)}) == 3


def test_a_batch_that_does_not_split_evenly_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size = 10 cannot be split evenly over 4 processes"):
        Ranks(1, 4).share(10)


def test_latents_and_order_of_all_ranks_are_those_of_one() -> None:
    def drawn(ranks: Ranks) -> tuple[torch.Tensor, torch.Tensor]:
        z, y = Latents(3, 5, CPU, stream(0, "latents", CPU), ranks).draw(8)
        assert y is not None
        return z, y

    whole, halves = drawn(ALONE), [drawn(Ranks(rank, 2)) for rank in (0, 1)]
    for i in (0, 1):
        assert torch.equal(whole[i], torch.cat([half[i] for half in halves]))
    orders = [Order(20, 8, 0, share) for share in (None, slice(0, 4), slice(4, 8))]
    for _ in range(5):
        (epoch, one), *parts = [order.next() for order in orders]
        assert {part[0] for part in parts} == {epoch}
        assert [parts[0][1].start, parts[1][1].stop] == [one.start, one.stop]
        assert parts[0][1].stop == parts[1][1].start


SCRIPT = """
import sys
from datetime import timedelta

import torch
import torch.distributed as dist

import gancore

experiment, meeting, rank, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if size > 1:
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
run = gancore.load(experiment).assemble(out=f"{meeting}-run")
run.train()
torch.save([p.detach() for p in (*run.generator.parameters(), *run.discriminator.parameters())], f"{meeting}-{rank}")
print(sorted(run.callbacks))
"""


@pytest.mark.slow
def test_two_processes_train_a_file_to_the_weights_of_one(experiments: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(experiments["mlp_adam"] + "\n[[callback]]\nname = 'stats'\n")

    def train(name: str, size: int) -> tuple[list[list[torch.Tensor]], list[str]]:
        command = [sys.executable, "-c", SCRIPT, str(file), str(tmp_path / name)]
        processes = [
            subprocess.Popen([*command, str(rank), str(size)], stdout=subprocess.PIPE, text=True)
            for rank in range(size)
        ]
        said = [process.communicate(timeout=120)[0].strip() for process in processes]
        assert [process.returncode for process in processes] == [0] * size
        return [torch.load(tmp_path / f"{name}-{rank}", weights_only=True) for rank in range(size)], said

    (alone,), _ = train("one", 1)
    (first, second), said = train("two", 2)
    assert said == ["['checkpoint', 'stats']", "[]"], "only the first observes"
    for a, b, c in zip(alone, first, second, strict=True):
        assert torch.equal(b, c)
        assert torch.allclose(a, b, rtol=1e-2, atol=1e-4)  # Adam divides by tiny second moments
    numbers = [(tmp_path / f"{name}-run" / "stats.jsonl").read_text().count("\n") for name in ("one", "two")]
    assert numbers[0] == numbers[1] > 0
