"""What to say when memory runs out: how much there was, what was asked for, and what to change."""

import re

import torch

GIB = 1 << 30
_ON_THE_CPU = re.compile(r"DefaultCPUAllocator: .*?tried to allocate (\d+) bytes")
_ON_CUDA = re.compile(r"Tried to allocate ([\d.]+ \w+)")


def shortage(error: BaseException, device: torch.device, batch_size: int, precision: str) -> str | None:
    """Words for an error that means that memory ran out; None for any other error."""
    if isinstance(error, torch.OutOfMemoryError):
        asked = match[1] if (match := _ON_CUDA.search(str(error))) else "more"
        where = f"{device}: {asked} asked for{_of_cuda(device)}"
    elif isinstance(error, RuntimeError) and (match := _ON_THE_CPU.search(str(error))):
        where = f"main memory: {int(match[1]) / GIB:.2f} GiB asked for in one piece"
    elif isinstance(error, MemoryError):
        where = "main memory"
    else:
        return None
    changes = [f"train.batch_size = {max(1, batch_size // 2)} (it is {batch_size})"]
    if device.type == "cuda" and precision != "bf16":
        changes.append('train.precision = "bf16"')
    changes += ["a smaller width or fewer layers in [model]", "smaller pictures ([data] size)"]
    return f"out of memory on {where}. Change one of these: {'; '.join(changes[:3])}"


def _of_cuda(device: torch.device) -> str:
    if not torch.cuda.is_available():
        return ""
    free, total = torch.cuda.mem_get_info(device)
    ours = torch.cuda.memory_reserved(device)
    return f", {free / GIB:.2f} GiB of {total / GIB:.2f} GiB free, {ours / GIB:.2f} GiB held by this run"
