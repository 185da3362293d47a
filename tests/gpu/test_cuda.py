"""What only a GPU can show. Skipped where there is none."""

from pathlib import Path
from typing import Any

import pytest
import torch

import gancore

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["digits", "digits-conditional", "digits-relativistic", "ring"]


def assembled(name: str, *overrides: str, **objects: Any) -> Any:
    return gancore.load(EXAMPLES / f"{name}.toml", ["train.device=cuda", *overrides]).assemble(**objects)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_examples_train(name: str, precision: str) -> None:
    run = assembled(name, f"train.precision={precision}")
    run.advance(20)
    run.look()  # raises if a number is not finite
    assert run.sample(*run.latents(8, 0)).is_cuda


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # that it does not see everything
@pytest.mark.parametrize("probed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_no_step_waits_for_the_device(name: str, probed: bool) -> None:
    run = assembled(name, "health.every=1" if probed else "health.probe=false", "train.held_out=64",
                    "train.capture=off")  # fmt: skip
    run.advance(22)  # the first steps allocate, and what was probed first is sent to the host
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.advance(20)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_look_waits_only_for_what_it_looks_at() -> None:
    run = assembled("digits", "health.every=1", "train.capture=off")
    run.advance(20)
    torch.cuda._sleep(10**9)  # cycles of the device: half a second
    found = [run.checkup.probe.next(until=20) for _ in range(20)]
    assert not torch.cuda.current_stream().query(), "the device has gone on"
    assert [vitals.step for vitals in found] == list(range(1, 21))


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_identical_weights(name: str) -> None:
    weights = []
    for _ in range(2):
        run = assembled(name)
        run.advance(20)
        weights.append([parameter.detach().clone() for parameter in run.game.generator.parameters])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_the_fastest_convolutions_are_found_and_captured() -> None:
    images = torch.randint(0, 256, (128, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    run = assembled("mnist-dcgan", "train.deterministic=false", data=torch.utils.data.TensorDataset(images))
    said: list[str] = []
    run.game.take.heard_by(said.append)
    run.advance(12)
    assert not said
    run.look()


@pytest.mark.parametrize("half_way", [10, 13])
def test_a_resumed_run_equals_an_uninterrupted_one(half_way: int, tmp_path: Path) -> None:
    from gancore import checkpoint

    whole = assembled("digits")
    whole.advance(20)
    half = assembled("digits")
    half.advance(half_way)
    folder = checkpoint.save(tmp_path, half.step, half.state_dict())
    resumed = assembled("digits")
    resumed.load_state_dict(checkpoint.load(folder))
    resumed.advance(20 - half_way)
    pairs = zip(whole.game.generator.parameters, resumed.game.generator.parameters, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_callers_settings_are_given_back() -> None:
    matmul = torch.backends.cuda.matmul
    before = (matmul.allow_tf32, torch.backends.cudnn.deterministic)
    run = assembled("ring", "train.precision=tf32")
    run.advance(1)
    assert (matmul.allow_tf32, torch.backends.cudnn.deterministic) == before


class Listed(torch.utils.data.Dataset[Any]):
    """Not a TensorDataset, so that it is streamed."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> Any:
        return (self.values[i],)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 of workers that are forked
@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_the_resident_ones(workers: int) -> None:
    from gancore.training.feed import ResidentFeed, StreamedFeed, open_feed

    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8)
    device, spec = torch.device("cuda"), gancore.DataSpec((1, 8, 8))
    resident, streamed = (
        open_feed(data, spec, batch_size=8, seed=1, device=device, workers=workers)
        for data in (torch.utils.data.TensorDataset(images), Listed(images))
    )
    assert isinstance(resident, ResidentFeed)
    assert isinstance(streamed, StreamedFeed)
    for _ in range(20):
        assert torch.equal(resident.next()[0], streamed.next()[0])
    again = open_feed(Listed(images), spec, batch_size=8, seed=1, device=device, workers=workers)
    again.load_state_dict(streamed.state_dict())  # the batch that was copied ahead comes again
    assert torch.equal(again.next()[0], resident.next()[0])
