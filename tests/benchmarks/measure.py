"""Clock, operations and memory of a candidate."""

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from tests.benchmarks.candidates import build
from tests.benchmarks.hardware import one_thread, wait
from tests.benchmarks.workloads import Workload

BLOCK = 0.4  # seconds: long enough for the clock, short enough for other work on the machine to hit several candidates
WATCHED = 50  # steps under the profiler: with one look at the numbers, as gancore has by default
# Steps: past the first in which gancore measures and probes; on a GPU past the third, which is captured.
PROBED = {"cpu": 51, "cuda": 151}
PATIENCE = 12.0  # seconds to get there; a slow workload will hardly reach a second one

Advance = Callable[[int], None]


def timed(advance: Advance, steps: int, device: str) -> float:
    """Seconds for `steps` steps: on the CPU of its own work, as other work on the machine is nobody's here."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    wait(device)
    begin = clock()
    advance(steps)
    wait(device)
    return clock() - begin


def warmed(advance: Advance, device: str) -> None:
    """Take steps until everything that is made, compiled or chosen on first use should be there."""
    begin = time.perf_counter()
    for _ in range(PROBED["cpu" if device == "cpu" else "cuda"]):
        advance(1)
        wait(device)
        if time.perf_counter() - begin > PATIENCE:
            return


def calibrated(advance: Advance, device: str, block: float = BLOCK) -> int:
    """Steps that take about the time of a block, in seconds."""
    steps = 1
    while (seconds := timed(advance, steps, device)) < block / 4:
        steps *= 2
    return max(1, round(block / seconds * steps))


def turns(advances: Mapping[str, Advance], steps: int, blocks: int, device: str) -> Iterator[dict[str, float]]:
    """Seconds per step of each candidate, block by block: in every block each takes its turn, in another order."""
    order, rng = list(advances), random.Random(0)
    for _ in range(blocks):
        rng.shuffle(order)
        yield {name: timed(advances[name], steps, device) / steps for name in order}


def on_device(advance: Advance, device: str) -> tuple[float, float]:
    """What a GPU does in a step: seconds in which at least one kernel or copy is under way, and how many there are."""
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as watched:
        advance(WATCHED)
        wait(device)
    done = [
        (event.time_range.start, event.time_range.end)
        for event in watched.events() or ()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    ]
    busy = until = 0.0
    for start, end in sorted(done):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy / 1e6 / WATCHED, len(done) / WATCHED


def operations(workload: Workload, device: str = "cpu") -> int:
    """Floating-point operations of a step: those of the matrix products and convolutions of the lean loop, forward,
    backward and, for penalties, backward once more. A multiply-add counts as two."""
    with TemporaryDirectory() as folder:
        lean: Any = build("lean", workload, Path(folder), device)
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Anywhere()
    with counter:
        lean.step()
    return int(counter.get_total_flops())


class _Anywhere(ModuleTracker):
    """Does not tell modules apart: torch's tracker cannot do that where a gradient is differentiated once more."""

    def __enter__(self) -> "_Anywhere":
        self.parents = {"Global"}
        return self

    def __exit__(self, *_: object) -> None:
        pass


def memory(workload: Workload, name: str, device: str = "cpu", settings: tuple[str, ...] = ()) -> int:
    """Bytes that a candidate takes at most: in a fresh process, as nothing else tells one's memory from another's."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_grown, args=(workload, name, device, settings, sender))
    process.start()
    sender.close()
    try:
        return int(receiver.recv())
    except EOFError:
        raise RuntimeError(f"the process that measured the memory of {name} ended with no answer") from None
    finally:
        process.join()


def _grown(workload: Workload, name: str, device: str, settings: tuple[str, ...], sender: Connection) -> None:
    one_thread()
    _load_torch(device)
    before = _resident("VmRSS") if device == "cpu" else 0
    with TemporaryDirectory() as folder:
        candidate: Any = build(name, workload, Path(folder), device, *settings)
        candidate.advance(3)
        wait(device)
    sender.send(_resident("VmHWM") - before if device == "cpu" else torch.cuda.max_memory_allocated(device))


def _load_torch(device: str) -> None:
    """What torch loads on first use is nobody's."""
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.Flatten(), torch.nn.Linear(4, 1)).to(device)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(2, 1, 4, 4, device=device)).sum().backward()
    optimizer.step()


def _resident(name: str) -> int:
    """Bytes in memory now (VmRSS) or at most so far (VmHWM). `getrusage` would count what the parent had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
