"""The machine: what it is, and the most operations a second that it was seen to do.

Shares of this peak tell how much of a slow step is arithmetic. A matrix product of a size that suits the machine is the
most that a network could hope for; data sheets promise more than any program gets.
"""

import os
import platform
import time
from pathlib import Path

import torch

# Large enough to be busy, small enough for the caches of a core.
SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
TRIES = 8


def one_thread() -> None:
    """For everybody alike, gancore (which leaves the number alone where the environment has one) and processes of this
    one: several threads beside other work on the machine measure that work."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def words(device: str) -> str:
    """The processor and, on the CPU, the threads that work."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()}, {threads} thread{'s' if threads > 1 else ''}"


def peak(device: str) -> dict[str, float]:
    """Operations a second by precision: the best of several matrix products; a multiply-add counts as two."""
    found = {"fp32": _best(device, torch.float32), "bf16": _best(device, torch.bfloat16)}
    if device != "cpu":
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = True
        found["tf32"] = _best(device, torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = before
    return found


def wait(device: str) -> None:
    """Until all that was asked of the device is done."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def _best(device: str, dtype: torch.dtype) -> float:
    best = 0.0
    for n in SIZES["cpu" if device == "cpu" else "cuda"]:
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        for _ in range(TRIES):
            wait(device)
            begin = time.perf_counter()
            torch.mm(a, b)
            wait(device)
            best = max(best, 2 * n**3 / (time.perf_counter() - begin))
    return best


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
