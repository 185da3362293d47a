"""Every file in examples/ trains: run for a few steps as a command, and each claim of its own where it makes one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gancore

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(EXAMPLES.glob("*.toml"))
# Scripts hand networks into some; the plugin of another is not installed here, its own test trains it.
RESUMABLE = sorted(
    file for file in EXAMPLES.rglob("*.toml")
    if file.stem not in ("critic_depth", "depth", "dirac") and file.parent.name != "third-party-plugin"
)  # fmt: skip
SHORT = ["--set", "train.steps=3", "--set", "log.every=1", "--set", "train.batch_size=8", "--set", "train.device=cpu"]


def mnist_files() -> Path | None:
    """The original MNIST files, where somebody has put them: $GANCORE_DATA, or shared/data beside the checkout."""
    for root in (os.environ.get("GANCORE_DATA"), Path(__file__).parents[2] / "shared" / "data"):
        if root and (Path(root) / "MNIST" / "raw").is_dir():
            return Path(root)
    return None


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(8):
        Image.new("RGB", (70 + i, 64), (30 * i, 100, 200 - 20 * i)).save(folder / f"{i}.png")
    return folder


def test_the_folder_holds_what_the_readme_speaks_of() -> None:
    assert {file.stem for file in FILES} == {
        "digits", "digits-conditional", "digits-relativistic", "folder-diffaugment", "mnist-dcgan", "ring",
    }  # fmt: skip


def needed(file: Path, tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """What an example needs besides itself, from `tmp_path`."""
    if file.stem == "folder-diffaugment":
        return ["--set", f"data.root={request.getfixturevalue('pictures')}", "--set", "train.workers=0"]
    if 'name = "mnist"' in file.read_text():
        source = mnist_files()
        if source is None:
            pytest.skip("the MNIST files are not here; set GANCORE_DATA to a folder with MNIST/raw")
        shutil.copytree(source, tmp_path / "data", copy_function=shutil.copyfile)
    return []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_example_trains(file: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    extra = needed(file, tmp_path, request)
    command = [sys.executable, "-m", "gancore", "train", str(file), "--out", "run", *SHORT, *extra]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert (run / "checkpoints" / "step-00000003" / "manifest.json").is_file()
    assert (run / "samples" / "step-00000003.png").is_file()
    assert len((run / "stats.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("file", RESUMABLE, ids=lambda file: file.stem)
def test_a_resumed_example_equals_an_uninterrupted_one(
    file: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from gancore.cli import main

    extra = needed(file, tmp_path, request)
    monkeypatch.chdir(tmp_path)
    # Intervals that the cut does not respect.
    often = [word for key in ("log.every=4", "health.every=3", "checkpoint.every=6") for word in ("--set", key)]
    batch = ["--set", "train.batch_size=8", "--set", "train.device=cpu"]
    words = ["gancore", "verify-resume", str(file), "--steps", "22", *batch, *often, *extra]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr()
    assert "resumed equals uninterrupted, 22 steps" in capsys.readouterr().out


@pytest.mark.slow
def test_the_ring_example_finds_all_modes() -> None:
    run = gancore.load(EXAMPLES / "ring.toml", ["train.device=cpu"]).assemble()
    run.advance(run.steps)
    found = run.metrics["mode-coverage"].evaluate(run.reals(2500), run.sample(*run.latents(2500, seed=1)))
    assert found["modes"] == 8
    assert found["high-quality"] > 0.6
    assert found["kl"] < 0.05


@pytest.mark.slow
def test_the_conditional_example_makes_the_digit_that_was_asked_for() -> None:
    """A nearest-neighbour reading of 50 fakes per class agrees with the label at least 9 times out of 10."""
    run = gancore.load(EXAMPLES / "digits-conditional.toml", ["train.device=cpu"]).assemble()
    run.advance(run.steps)
    from gancore_digits.digits import Digits

    images, labels = Digits().load().tensors
    reals = images.float().flatten(1) / 127.5 - 1
    z, y = run.latents(500, seed=1)
    fakes = run.sample(z, y).flatten(1)
    read = labels[torch.cdist(fakes, reals).argmin(1)]
    assert float((read == y).float().mean()) >= 0.9
