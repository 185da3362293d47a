"""How time and memory of gancore grow with batch size, width and resolution.

    python -m tests.benchmarks.scaling [--only MLP] [--device cpu] [--settings train.precision=bf16] [-o results.json]

Time against work (floating-point operations a step) is a line of slope 1 in logarithms where arithmetic is what takes
time; below 1 something else costs the small cases more. Memory is what the process grows by, at most, each time in a
fresh one.
"""

import argparse
import logging
import math
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from attrs import evolve, frozen

from tests.benchmarks import hardware, measure, written
from tests.benchmarks.candidates import build
from tests.benchmarks.workloads import DCGAN, MLP, Workload

MIB = 2**20
READINGS = 5


@frozen
class Sweep:
    """Workloads that differ in one quantity.

    Attributes:
        of: by the quantity's value.
        memory: whether to measure that, too.
    """

    name: str
    of: dict[int, Workload]
    memory: bool = False


def sweeps(*, large: bool) -> tuple[Sweep, ...]:
    """
    Args:
        large: sizes for a GPU.
    """
    mlp = Workload("MLP 28x28", (1, 28, 28), MLP.format(latent_dim=64, hidden=[256, 256]))
    dcgan = Workload("DCGAN 32x32", (3, 32, 32), DCGAN.format(width=32))
    more = 4 if large else 1
    return (
        Sweep(
            "MLP 28x28: batch size",
            {n * more: evolve(mlp, batch=n * more) for n in (16, 32, 64, 128, 256, 512)},
            memory=True,
        ),
        Sweep(
            "MLP 28x28, batch 64: width",
            {
                n * more: evolve(mlp, model=MLP.format(latent_dim=64, hidden=[n * more] * 2))
                for n in (64, 128, 256, 512, 1024)
            },
        ),
        Sweep(
            "DCGAN 32x32, width 32: batch size",
            {n * more: evolve(dcgan, batch=n * more) for n in (8, 16, 32, 64, 128)},
            memory=True,
        ),
        Sweep(
            "DCGAN 32x32, batch 32: width",
            {n * more: evolve(dcgan, batch=32, model=DCGAN.format(width=n * more)) for n in (8, 16, 32, 64)},
        ),
        Sweep(
            f"DCGAN, width {16 * more}, batch 32: resolution",
            {
                n: evolve(dcgan, batch=32, shape=(3, n, n), model=DCGAN.format(width=16 * more))
                for n in (16, 32, 64, 128)
            },
        ),
    )


def seconds_of(workload: Workload, device: str, settings: tuple[str, ...]) -> float:
    """Of a step of gancore: the least of several readings, as other work on the machine only adds to it."""
    with TemporaryDirectory() as folder:
        candidate = build("gancore", workload, Path(folder), device, *settings)
        measure.warmed(candidate.advance, device)
        steps = measure.calibrated(candidate.advance, device)
        return min(measure.timed(candidate.advance, steps, device) / steps for _ in range(READINGS))


def slope(x: list[float], y: list[float]) -> float:
    """Of the line through the logarithms (least squares)."""
    return statistics.linear_regression([math.log(a) for a in x], [math.log(b) for b in y]).slope


def measured(sweep: Sweep, device: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """A sweep's numbers, printed as they come."""
    print(f"\n{sweep.name}\n    {'':>6}   GFLOP a step   ms a step   images/s   GFLOP/s", flush=True)
    rows: dict[str, dict[str, float]] = {}
    for value, workload in sweep.of.items():
        flops, seconds = measure.operations(workload, device), seconds_of(workload, device, settings)
        row = {"flops": flops, "seconds_per_step": seconds, "images_per_second": workload.batch / seconds}
        memory = ""
        if sweep.memory:
            row["memory_bytes"] = measure.memory(workload, "gancore", device, settings)
            memory = f"   {row['memory_bytes'] / MIB:6.0f} MiB"
        print(
            f"    {value:6}   {flops / 1e9:12.3f}   {1e3 * seconds:9.2f}   {workload.batch / seconds:8.0f}   "
            f"{flops / seconds / 1e9:7.1f}{memory}",
            flush=True,
        )
        rows[str(value)] = row
    work = [row["flops"] for row in rows.values()]
    time = [row["seconds_per_step"] for row in rows.values()]
    slopes = slope(work, time), slope(work[-2:], time[-2:])
    print(f"    time grows as work to the power of {slopes[0]:.2f}; of {slopes[1]:.2f} between the two largest")
    found: dict[str, Any] = {"rows": rows, "slope": slopes[0], "slope_of_two_largest": slopes[1]}
    if sweep.memory:
        line = statistics.linear_regression(list(sweep.of), [row["memory_bytes"] for row in rows.values()])
        found |= {"memory_bytes_per_image": line.slope, "memory_bytes_at_rest": line.intercept}
        print(f"    memory: {line.intercept / MIB:.0f} MiB and {line.slope / MIB:.3f} MiB an image of the batch")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="sweeps whose name contains this")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--settings", nargs="*", default=(), metavar="KEY=VALUE", help="of gancore")
    parser.add_argument("-o", "--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    hardware.one_thread()
    torch.backends.cudnn.allow_tf32 = False
    logging.getLogger("gancore").setLevel(logging.ERROR)  # that training on noise goes badly is no news
    results: dict[str, Any] = {
        **written.header(options.device),
        "settings": list(options.settings),
        "sweeps": {},
    }
    print(results["hardware"])
    for sweep in sweeps(large=options.device != "cpu"):
        if options.only.lower() in sweep.name.lower():
            results["sweeps"][sweep.name] = measured(sweep, options.device, tuple(options.settings))
            written.write(options.out, results)  # after each: what was measured is not lost
