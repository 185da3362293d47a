"""What only a GPU can show. Skipped where there is none."""

from pathlib import Path
from typing import Any

import pytest
import torch

import gancore

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["digits", "digits-conditional", "digits-relativistic", "ring"]


def assembled(name: str, *overrides: str) -> Any:
    return gancore.load(EXAMPLES / f"{name}.toml", ["train.device=cuda", *overrides]).assemble()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_examples_train(name: str, precision: str) -> None:
    run = assembled(name, f"train.precision={precision}")
    run.advance(20)
    run.look()  # raises if a number is not finite
    assert run.sample(*run.latents(8, 0)).is_cuda


@pytest.mark.parametrize("probed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_no_step_waits_for_the_device(name: str, probed: bool) -> None:
    run = assembled(name, "health.every=1" if probed else "health.probe=false", "train.held_out=64",
                    "train.capture=off")  # fmt: skip
    run.advance(2)  # the first steps allocate
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.advance(5)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_identical_weights(name: str) -> None:
    weights = []
    for _ in range(2):
        run = assembled(name)
        run.advance(20)
        weights.append([parameter.detach().clone() for parameter in run.game.generator.parameters])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


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


def told(run: Any) -> list[str]:
    said: list[str] = []
    run.game.take.heard_by(said.append)
    run.game.differentiate.heard_by(said.append)
    return said


@pytest.mark.parametrize("probed", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_captured_phases_do_what_plain_ones_do(name: str, precision: str, probed: bool) -> None:
    settings = [f"train.precision={precision}", "health.every=1" if probed else "health.probe=false", "log.every=3"]
    plain, captured = (assembled(name, f"train.capture={how}", *settings) for how in ("off", "on"))
    said = told(captured)
    plain.advance(20)
    captured.advance(20)
    assert not said
    for role in ("generator", "discriminator"):
        pairs = zip(plain.game.player(role).parameters, captured.game.player(role).parameters, strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert captured.look() == pytest.approx(plain.look(), rel=1e-2, abs=1e-3)
    if probed:
        ours, theirs = (run.checkup.probe.fetched()[-1].numbers for run in (captured, plain))
        assert ours == pytest.approx(theirs, rel=5e-2, abs=1e-3)


def test_a_captured_step_waits_for_nothing() -> None:
    run = assembled("digits", "train.capture=on", "health.probe=false", "log.every=1000")
    run.advance(5)  # warmed up and captured
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.advance(5)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_schedule_reaches_into_the_graph() -> None:
    """The learning rate of digits falls linearly to 0: a frozen one would go on training."""
    run = assembled("digits", "train.capture=on", "train.steps=30", "health.probe=false")
    run.advance(29)
    before = [parameter.detach().clone() for parameter in run.game.generator.parameters]
    run.game.generator.optimizer.param_groups[0]["lr"].fill_(0.0)
    run.advance(1)
    assert all(torch.equal(a, b) for a, b in zip(before, run.game.generator.parameters, strict=True))


@pytest.mark.parametrize("capture", ["on", "off"])
@pytest.mark.parametrize("name", ["digits", "digits-relativistic"])
def test_compiled_phases_do_what_eager_ones_do(name: str, capture: str) -> None:
    settings = ["health.probe=false", f"train.capture={capture}"]
    eager, compiled = (assembled(name, f"train.compile={how}", *settings) for how in ("off", "phase"))
    said = told(compiled)
    eager.advance(6)
    compiled.advance(6)
    assert not [words for words in said if "not compiled" in words or "not captured" in words]
    pairs = zip(eager.game.generator.parameters, compiled.game.generator.parameters, strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-2, atol=5e-3)


class Listed(torch.utils.data.Dataset[Any]):
    """Not a TensorDataset, so that it is streamed."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: int) -> Any:
        return (self.values[i],)


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
