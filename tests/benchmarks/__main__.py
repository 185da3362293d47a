"""How fast gancore trains, beside loops that are written by hand and other libraries: interleaved, on the same networks
and mathematics.

    python -m tests.benchmarks [--blocks 15] [--only MLP] [--device cpu] [--candidates lean,gancore] [-o results.json]

First it checks that all candidates do the same updates (`parity.py`). Then it lets them train in turns of some tenths
of a second, in another order each time, and prints the speed of each relative to the example-style loop, as median and
quartiles over the turns: other work on the machine slows all of them alike. Times on the CPU are of the process's own
work, on one thread.

gancore's probe of gradient health runs every 50 steps. Where a turn has fewer, most turns have none, and the median
does not show it: `python -m tests.benchmarks.health` measures what it costs.

On a GPU, the share of the time in which it is busy is that of its kernels and copies, seen by a profiler, in the time
of a step without one.

The share of the peak is that of the arithmetic that the loops by hand do; compiled phases leave some of it out.

Compiled candidates compile before the turns; "first step" is the time until their first step was done. What an earlier
run has compiled comes from a cache on disk, unless TORCHINDUCTOR_FORCE_DISABLE_CACHES=1 is set.
"""

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from gancore import UserError
from tests.benchmarks import hardware, measure, written
from tests.benchmarks.candidates import GANCORE, build, chosen, not_expressible, precision_of
from tests.benchmarks.parity import STEPS, Differs, Parity
from tests.benchmarks.workloads import Workload, workloads

BASE = "example-style"
OF_MEMORY = ("lean", "gancore")
MIB = 2**20


def compared(
    workload: Workload, names: list[str], options: argparse.Namespace, peak: dict[str, float]
) -> dict[str, Any]:
    """Everything about one workload, printed as it comes."""
    device = options.device
    flops = measure.operations(workload, device)
    print(f"\n{workload.name}: {flops / 1e9:.3g} GFLOP a step", flush=True)
    found: dict[str, Any] = {"flops": flops, "parity": {}, "first_step_seconds": {}, "left_out": {}}
    with ExitStack() as stack:
        advances: dict[str, Callable[[int], None]] = {}
        parity = Parity(workload, device)
        for name in names:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            try:
                advances[name] = prepared(name, workload, folder, device, parity, found)
            except (UserError, Differs, not_expressible()) as refusal:
                found["left_out"][name] = _in_short(refusal, folder)
                _say(f"{name:31} left out: {found['left_out'][name]}")
        if not advances:
            return found
        steps = measure.calibrated(next(iter(advances.values())), device, options.turn)
        seconds: dict[str, list[float]] = {name: [] for name in advances}
        _say(f"{options.blocks} turns of {steps} step{'s' if steps > 1 else ''} each")
        for i, block in enumerate(measure.turns(advances, steps, options.blocks, device), 1):
            for name, value in block.items():
                seconds[name].append(value)
            _say(f"turn {i} is over", end="\r")
    base = BASE if BASE in seconds else next(iter(seconds))
    found |= {"steps_per_turn": steps, "base": base, "ratios": _ratios(seconds, base)}
    if "lean" in seconds:
        found["ratios_to_lean"] = _ratios(seconds, "lean")
    found["seconds_per_step"] = {name: statistics.median(taken) for name, taken in seconds.items()}
    found["share_of_peak"] = {
        name: flops / taken / peak[precision_of(name)] for name, taken in found["seconds_per_step"].items()
    }
    if device != "cpu":
        found["on_device"] = {name: measure.on_device(advance, device) for name, advance in advances.items()}
    show(found)
    if options.memory:
        kept = [name for name in OF_MEMORY if name in seconds] if device == "cpu" else list(seconds)
        found["memory_bytes"] = {}
        for name in kept:
            try:
                size = found["memory_bytes"][name] = measure.memory(workload, name, device)
            except RuntimeError as error:  # it has said why; the rest of the numbers are none the worse
                _say(str(error))
            else:
                _say(f"{name:31} takes {size / MIB:.0f} MiB of memory")
    return found


def prepared(
    name: str, workload: Workload, folder: Path, device: str, parity: Parity, found: dict[str, Any]
) -> Callable[[int], None]:
    """A candidate that does the same updates and has made what it makes on first use: how to advance it.

    Raises:
        Differs: it does other updates.
        UserError: gancore refuses its options.
    """
    _say(f"{name:31} ...", end="\r")
    begin = time.perf_counter()
    candidate = build(name, workload, folder, device)
    losses: list[float] = []
    if name in GANCORE:  # its ten steps of comparison are its first
        losses = candidate.losses((), (), 1)
    else:
        candidate.advance(1)
    hardware.wait(device)
    first = found["first_step_seconds"][name] = time.perf_counter() - begin
    if losses:
        difference = parity.of_gancore(losses + candidate.losses((), (), STEPS - 1), precision_of(name))
    else:
        difference = parity.of_others(name, precision_of(name))
    found["parity"][name] = difference
    _say(f"{name:31} first step after {first:5.1f} s, losses of ten steps agree to {difference:.1e}")
    measure.warmed(candidate.advance, device)
    return candidate.advance


def show(found: dict[str, Any]) -> None:
    """The table of a workload."""
    gpu = "   GPU busy   kernels" if "on_device" in found else ""
    print(f"    {'':31} ms a step   speed of {found['base']:14} (quartiles)   of lean   share of peak{gpu}")
    for name, (low, middle, high) in found["ratios"].items():
        seconds, share = found["seconds_per_step"][name], found["share_of_peak"][name]
        lean = f"{found['ratios_to_lean'][name][1]:7.2f}" if "ratios_to_lean" in found else " " * 7
        if gpu:
            busy, kernels = found["on_device"][name]
            gpu = f"   {busy / seconds:8.0%}   {kernels:7.0f}"
        print(
            f"    {name:31} {1e3 * seconds:9.3f}   {middle:23.2f} ({low:5.2f} to {high:5.2f})   {lean}   "
            f"{share:12.1%}{gpu}"
        )


def _ratios(seconds: dict[str, list[float]], base: str) -> dict[str, list[float]]:
    """Speed of each relative to the base's in the same turn: quartiles."""
    return {
        name: statistics.quantiles([b / a for a, b in zip(taken, seconds[base], strict=True)], n=4)
        for name, taken in seconds.items()
    }


def _in_short(refusal: Exception, folder: Path) -> str:
    """One line, which does not tell where the file was."""
    return " ".join(str(refusal).split()).partition("; known:")[0].replace(f"{folder}/", "")


def _say(words: str, end: str = "\n") -> None:
    """One line; with `end` of a carriage return one that the next one takes the place of."""
    if end == "\n" or sys.stdout.isatty():
        print(f"    {words:100}".rstrip() if end == "\n" else f"    {words:100}", end=end, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=15, help="turns of each candidate, at least 2")
    parser.add_argument("--turn", type=float, default=measure.BLOCK, help="seconds of a turn of the first candidate")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--candidates", default="", help="names, separated by commas; gancore's also without its name")
    parser.add_argument("--no-peers", action="store_true", help="without other libraries")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--paper",
        action=argparse.BooleanOptionalAction,
        help="the ResNet in the size of its paper, with n_critic 5; by default on a GPU only",
    )
    parser.add_argument("--memory", action="store_true", help="also how much memory gancore and the lean loop take")
    parser.add_argument("-o", "--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    hardware.one_thread()
    # fp32 means fp32 for everybody: torch would let convolutions of loops by hand use tf32. gancore sets its own.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    logging.getLogger("gancore").setLevel(logging.ERROR)  # that training on noise goes badly is no news

    names = chosen(options.device, options.candidates, with_peers=not options.no_peers)
    peak = hardware.peak(options.device)
    machine = hardware.words(options.device)
    print(f"{machine}: {', '.join(f'{rate / 1e9:.0f} GFLOP/s in {name}' for name, rate in peak.items())}", flush=True)
    results: dict[str, Any] = {
        **written.header(options.device),
        "peak_flops_per_second": peak,
        "workloads": {},
    }
    paper = options.device != "cpu" if options.paper is None else options.paper
    for workload in workloads(paper=paper):
        if options.only.lower() not in workload.name.lower():
            continue
        results["workloads"][workload.name] = compared(workload, names, options, peak)
        written.write(options.out, results)  # after each: what was measured is not lost
