"""What to say when memory runs out: how much there was, what was asked for, and what to change.

A process that reads data may be ended by the system for want of memory. torch tells so wherever this process happens to
be, so that is recognised by its words, too.
"""

import re

import torch

GIB = 1 << 30
_IN_A_GRAPH = re.compile(r"aoti_torch_empty\w*\(.*API call failed", re.DOTALL)  # compiled: without the cause
_ON_THE_CPU = re.compile(r"DefaultCPUAllocator: .*?tried to allocate (\d+) bytes")
_ON_CUDA = re.compile(r"Tried to allocate ([\d.]+ \w+)")


def shortage(error: BaseException, device: torch.device, batch_size: int, precision: str) -> str | None:
    """Words for an error that means that memory ran out; None for any other error."""
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        said = " ".join(str(error).split())[:200]
        return (
            f"a process that reads the data has died ({said}); most often the system ended it for want of memory: try "
            "fewer train.workers or smaller pictures"
        )
    if isinstance(error, torch.OutOfMemoryError):
        asked = match[1] if (match := _ON_CUDA.search(str(error))) else "more"
        where = f"{device}: {asked} asked for{_of_cuda(device)}"
    elif isinstance(error, RuntimeError) and (match := _ON_THE_CPU.search(str(error))):
        where = f"main memory: {int(match[1]) / GIB:.2f} GiB asked for in one piece"
    elif isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _IN_A_GRAPH.search(str(error))):
        where = "main memory"
    else:
        return None
    changes = [f"train.batch_size = {batch_size // 2} (it is {batch_size})"] if batch_size > 1 else []
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
