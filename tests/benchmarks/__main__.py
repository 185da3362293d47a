"""How fast gancore trains, beside loops that are written by hand: interleaved, on the same networks and mathematics.

    python -m tests.benchmarks [--blocks 15] [--only MLP] [--device cpu] [-o results.json]

First it checks that all candidates do the same updates (losses over ten steps, from the same weights, reals and
latents). Then it lets them train in turns, some steps each, and prints the speed of each relative to the example-style
loop, as median and quartiles over the turns: other work on the machine slows all of them alike.
"""

import argparse
import copy
import json
import platform
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch

from gancore.training.recorder import Tape
from tests.benchmarks.loops import Example, Lean, Ours
from tests.benchmarks.workloads import WORKLOADS, Workload

STEPS_OF_PARITY = 10


def parity(workload: Workload, device: str) -> float:
    """The largest difference between the losses of gancore and of the loops, relative to the losses' size. Without the
    gradient penalty, whose points between reals and fakes every candidate draws for itself."""
    import attrs

    workload = attrs.evolve(workload, gradient_penalty=None)
    with tempfile.TemporaryDirectory() as folder:
        run = workload.run(Path(folder), device, "fp32", "health.probe=false")
        networks = copy.deepcopy((run.game.generator.network, run.game.discriminator.network))
        tape, ours = Tape(), []
        with tape.recording(run):
            for _ in range(STEPS_OF_PARITY):
                run.numbers.fetch()
                run.advance(1)
                ours.append(run.numbers.fetch()["loss/generator"])
    worst = 0.0
    for loop in (Example, Lean):
        run.game.generator.network, run.game.discriminator.network = copy.deepcopy(networks)
        candidate = loop(workload, run)
        reals, latents = ((drawn[0] for drawn in kept) for kept in (tape.reals, tape.latents))
        theirs = [float(candidate.step(reals, latents)[1]) for _ in range(STEPS_OF_PARITY)]
        worst = max(worst, *(abs(a - b) / abs(a) for a, b in zip(ours, theirs, strict=True)))
    return worst


def speeds(workload: Workload, device: str, blocks: int) -> dict[str, list[float]]:
    """Speed relative to the example-style loop, turn by turn."""
    with tempfile.TemporaryDirectory() as folder:
        example, lean = (loop(workload, workload.run(Path(folder), device)) for loop in (Example, Lean))
        ours = {
            "gancore": Ours(workload, workload.run(Path(folder), device)),
            "gancore, no probe": Ours(workload, workload.run(Path(folder), device, "fp32", "health.probe=false")),
        }
        turns: dict[str, Any] = {
            "example-style": lambda n: [example.step() for _ in range(n)],
            "lean": lambda n: [lean.step() for _ in range(n)],
            **{name: candidate.advance for name, candidate in ours.items()},
        }
        for turn in turns.values():  # what is made on first use
            turn(2)
        seconds: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(blocks):
            for name, turn in turns.items():
                _wait(device)
                begin = time.perf_counter()
                turn(workload.block)
                _wait(device)
                seconds[name].append(time.perf_counter() - begin)
    base = seconds["example-style"]
    return {name: [a / b for a, b in zip(base, found, strict=True)] for name, found in seconds.items()}


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=15, help="turns of each candidate")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    hardware = torch.cuda.get_device_name() if options.device != "cpu" else f"{platform.machine()}, 1 thread"
    results: dict[str, Any] = {"date": date.today().isoformat(), "torch": torch.__version__, "hardware": hardware}
    for workload in WORKLOADS:
        if options.only.lower() not in workload.name.lower():
            continue
        difference = parity(workload, options.device)
        print(f"{workload.name}: losses of all candidates agree to {difference:.1e}", flush=True)
        if difference > 1e-3:
            raise SystemExit("the candidates do not do the same updates")
        results[workload.name] = {"parity": difference}
        for name, ratios in speeds(workload, options.device, options.blocks).items():
            low, middle, high = statistics.quantiles(ratios, n=4)
            results[workload.name][name] = [low, middle, high]
            print(f"    {name:20} {middle:5.2f}  (quartiles {low:.2f} to {high:.2f})", flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=2) + "\n")
