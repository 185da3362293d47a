"""What gradient health costs: the same run with and without it, interleaved block by block.

    python -m tests.benchmarks.health [--blocks 15] [--device cpu] [--set train.compile=phase] [-o results.json]

Prints, for each experiment, the time of a probed run over that of one that is not probed, as median and quartiles over
the blocks: probing every 50 steps (the default; budget 1.02) and at every step (budget 1.15). The cost of a probe is
that of some hundred small operators: the smaller a step, the larger its share.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import gancore
from tests.benchmarks import hardware, measure, written

ROOT = Path(__file__).parents[2]
NEVER = 0

DCGAN_32 = """
[train]
steps = 1000000
batch_size = 64
[model]
name = "dcgan"
width = 32
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
"""


def experiments() -> dict[str, tuple[str, dict[str, Any], int]]:
    """By name: the file's text, objects to hand in, and the steps of a block."""
    images = torch.randint(0, 256, (512, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    digits = (ROOT / "examples" / "digits.toml").read_text("utf-8")
    wider = digits.replace("hidden = [64, 64]", "hidden = [128, 128]")
    return {
        "digits MLP 2x64, WGAN-GP (examples/digits.toml)": (digits, {}, 50),
        "digits MLP 2x128, WGAN-GP": (wider, {}, 50),
        "DCGAN 32x32, batch 64": (DCGAN_32, {"data": torch.utils.data.TensorDataset(images)}, 4),
    }


def assembled(text: str, objects: dict[str, Any], every: int, folder: Path, device: str, given: Sequence[str]) -> Any:
    file = folder / "x.toml"
    file.write_text(text)
    settings = [f"train.device={device}", "train.compile=off", "callback=[]", "train.steps=1000000", *given]
    settings += [f"health.every={every}"] if every else ["health.probe=false"]
    run = gancore.load(file, settings).assemble(**objects)
    advance(run, measure.PROBED[run.device.type])  # what is made, compiled or captured on first use
    advance(run, -run.step % 50)  # blocks end where training looks at its numbers anyway
    return run


def advance(run: Any, steps: int) -> float:
    """Seconds for `steps` steps with everything that `train` does for gradient health."""
    hardware.wait(run.device.type)
    begin = time.perf_counter()
    end = run.step + steps
    while run.step < end:
        run.advance(min(end, run.checkup.next_look(run.step) if run.checkup else end) - run.step)
        if run.checkup:
            run._examine(run.checkup, run.step - run.checkup.lag)
    hardware.wait(run.device.type)
    return time.perf_counter() - begin


def ratios(
    text: str, objects: dict[str, Any], block: int, blocks: int, device: str, given: Sequence[str]
) -> dict[int, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        runs = {every: assembled(text, objects, every, Path(folder), device, given) for every in (NEVER, 50, 1)}
        seconds: dict[int, list[float]] = {every: [] for every in runs}
        for _ in range(blocks):
            for every, run in runs.items():
                # A whole interval for the run that probes every 50 steps: the one probe is in it.
                seconds[every].append(advance(run, block if every != 50 else 50) / (block if every != 50 else 50))
    return {every: [a / b for a, b in zip(seconds[every], seconds[NEVER], strict=True)] for every in (50, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], dest="given", metavar="KEY=VALUE", help="as of the CLI")
    parser.add_argument("-o", "--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    results = {**written.header(options.device), "settings": options.given, "time_of_probed_over_unprobed": found}
    for name, (text, objects, block) in experiments().items():
        block = block if options.device == "cpu" else 50
        for every, times in ratios(text, objects, block, options.blocks, options.device, options.given).items():
            low, middle, high = statistics.quantiles(times, n=4)
            found[f"{name}, every {every}"] = [low, middle, high]
            print(f"{name:50} every {every:2}: {middle:.3f}  (quartiles {low:.3f} to {high:.3f})", flush=True)
            written.write(options.out, results)
