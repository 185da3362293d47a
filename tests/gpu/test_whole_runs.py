"""Runs from their beginning to their end, or to what comes between. Skipped where there is no GPU."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import gancore
from gancore.assemble.replay import open_capsule
from gancore.errors import NonFiniteError, RunFailed
from gancore.training.recorder import take_step
from tests.gpu.test_cuda import Listed

DEVICE = "cuda"
EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def assembled(name: str, *overrides: str, **objects: Any) -> Any:
    return gancore.load(EXAMPLES / f"{name}.toml", [f"train.device={DEVICE}", *overrides]).assemble(**objects)


def said(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gancore", *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def weights(run: Any) -> list[torch.Tensor]:
    networks = run.game.generator.network, run.game.discriminator.network, run.ema.network
    return [value.detach().clone() for network in networks for value in network.state_dict().values()]


def test_a_run_is_trained_taken_up_sampled_and_examined(tmp_path: Path) -> None:
    settings = f"train.device={DEVICE}", "train.steps=60", "checkpoint.every=30", "health.every=10"
    words = [word for setting in settings for word in ("--set", setting)]
    trained = said(tmp_path, "train", str(EXAMPLES / "digits.toml"), *words, "--out", "run")
    assert f"on {DEVICE}" in trained
    assert "finished at step 60" in trained
    assert "finished at step 90" in said(tmp_path, "resume", "run", "--set", "train.steps=90")
    said(tmp_path, "sample", "run", "-o", "digits.png")
    assert (tmp_path / "digits.png").stat().st_size > 1000
    said(tmp_path, "doctor", "run")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("digits", ("health.every=3",)),
        ("digits-conditional", ("health.every=3",)),
        ("digits-relativistic", ("train.precision=bf16",)),
        ("digits", ("train.compile=phase", "health.probe=false")),
    ],
)
def test_a_run_that_was_cut_in_two_is_the_same_to_the_bit(name: str, settings: tuple[str, ...], tmp_path: Path) -> None:
    settings = f"train.device={DEVICE}", "log.every=4", *settings
    words = [word for setting in settings for word in ("--set", setting)]
    assert "resumed equals uninterrupted" in said(
        tmp_path, "verify-resume", str(EXAMPLES / f"{name}.toml"), *words, "--steps", "60"
    )


def test_a_state_that_is_loaded_in_the_middle_is_gone_on_from(tmp_path: Path) -> None:
    run = assembled("digits", "log.every=4", "health.every=4")
    run.advance(9)
    state = copy.deepcopy(run.state_dict())
    run.advance(9)
    first = weights(run)
    run.load_state_dict(state)
    run.advance(9)
    assert all(torch.equal(a, b) for a, b in zip(first, weights(run), strict=True))


def seen_again(run: Any, message: str) -> None:
    """Whoever opens the capsule sees what the message says."""
    (folder,) = (run.folder / "capsules").iterdir()
    again, capsule = open_capsule(folder, [f"train.device={DEVICE}"])
    with capsule.tape.playing(again):
        sighting = take_step(again)
    assert str(sighting) == str(capsule.sighting)
    assert str(sighting) in message


def test_a_nan_in_the_data_is_found_and_can_be_seen_again(tmp_path: Path) -> None:
    x = torch.randn(600, 2)
    x[77, 0] = torch.nan
    file = tmp_path / "x.toml"
    text = re.sub(r"\[data\]\nname = \"ring\"\n", "", (EXAMPLES / "ring.toml").read_text("utf-8"))
    file.write_text(text)
    settings = f"train.device={DEVICE}", 'callback=[{name="health"}]', "train.steps=100"
    run = gancore.load(file, settings).assemble(
        data=TensorDataset(x), spec=gancore.DataSpec((2,), 0, None), out=tmp_path / "run"
    )
    with pytest.raises(NonFiniteError, match="the batch of reals") as caught:
        run.train()
    seen_again(run, str(caught.value))


def test_so_is_a_step_that_overflows(tmp_path: Path) -> None:
    run = assembled("ring", 'callback=[{name="health"}]', "train.steps=100", "optimizer.lr=1e6", out=tmp_path / "run")
    with pytest.raises(NonFiniteError, match="First, in step") as caught:
        run.train()
    seen_again(run, str(caught.value))


def test_a_full_memory_is_said_in_words(tmp_path: Path) -> None:
    run = assembled("digits", "callback=[]", "train.steps=10", "train.batch_size=1024", "model.hidden=[8192, 8192]")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**26) / total)
    try:
        with pytest.raises(RunFailed, match=r"out of memory on cuda.* Change one of these: train.batch_size = 512"):
            run.train()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 of workers that are forked
@pytest.mark.parametrize("capture", ["on", "off"])
def test_streamed_data_train_as_resident_ones_do(capture: str, tmp_path: Path) -> None:
    text = (EXAMPLES / "digits.toml").read_text("utf-8")
    file = tmp_path / "x.toml"
    file.write_text(text.replace('[data]\nname = "digits"\n', ""))
    images = torch.randint(0, 256, (300, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = []
    for data, workers in ((TensorDataset(images), 0), (Listed(images), 2)):
        settings = (
            f"train.device={DEVICE}",
            f"train.workers={workers}",
            "health.probe=false",
            f"train.capture={capture}",
        )
        run = gancore.load(file, settings).assemble(data=data, spec=gancore.DataSpec((1, 8, 8)))
        run.advance(12)
        found.append(weights(run))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
