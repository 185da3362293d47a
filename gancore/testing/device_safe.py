"""Runs step-time code on tensors without memory, and names the line that would make a GPU wait.

torch's FakeTensorMode follows shapes, dtypes and devices through forward, backward and optimizers without computing a
number. So whoever asks for a number, on a machine without any GPU, is caught where he asks.
"""

import linecache
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from gancore.testing.kit import Violation

DEVICE = "meta"
"""Stands for the GPU: a device that is not the CPU."""

_READS = (
    "reads a tensor's value in Python, so the GPU has to finish before the next line can start. Keep it a tensor: "
    "torch.where, clamp or a mask instead of `if`, and a 0-d tensor instead of .item() or float()"
)
_GROWS = (
    "makes a tensor whose shape depends on values (boolean indexing, nonzero, unique), for which the GPU has to be "
    "waited for. Keep the shape: torch.where, or multiply by the mask"
)
_LEAVES = "copies a tensor to the CPU, for which the GPU has to be waited for. Stay on the device of the input"
_MIXES = (
    "uses a tensor on another device than its input. Make it where the input is: torch.zeros_like(x), "
    "x.new_tensor(...), "
    "device=x.device; numbers that belong to a network are buffers"
)


class _LeavesDeviceError(RuntimeError):
    pass


class _NoWayBack(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Copying to the CPU is no error to FakeTensorMode; to us it is.

    In torch 2.9 `torch.tensor(0, device=DEVICE)`, which batch norm counts with, escapes that mode: it is taken in here.
    """

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._mode = mode

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(Tensor, self._taken_in, (args, kwargs or {}))
        target = kwargs.get("device")
        leaves = target is not None and target.type == "cpu" and func is torch.ops.aten._to_copy.default
        if leaves and args[0].device.type == DEVICE:
            raise _LeavesDeviceError
        return func(*args, **kwargs)

    def _taken_in(self, tensor: Tensor) -> Tensor:
        escaped = tensor.device.type == DEVICE and not isinstance(tensor, FakeTensor)
        return self._mode.from_tensor(tensor) if escaped else tensor


@contextmanager
def device_safe(what: str) -> Iterator[None]:
    """Within, tensors on `DEVICE` have no values.

    Raises:
        Violation: the code synchronises, or leaves the device; with file and line.
    """
    try:
        with FakeTensorMode() as mode, _NoWayBack(mode):
            yield
    except (DataDependentOutputException, DynamicOutputShapeException, _LeavesDeviceError) as error:
        reason = {
            DataDependentOutputException: _READS,
            DynamicOutputShapeException: _GROWS,
            _LeavesDeviceError: _LEAVES,
        }
        raise Violation(f"{what}: {_place(error)} {reason[type(error)]}") from error
    except Exception as error:
        if "device" in str(error) and DEVICE in str(error):
            raise Violation(f"{what}: {_place(error)} {_MIXES}") from error
        raise


def _place(error: BaseException) -> str:
    """The innermost line that is neither torch's nor ours: `file:line: `code``."""
    torch_folder, ours = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((torch_folder, ours)) and frame.filename != "<string>"
        and not frame.filename.endswith("contextlib.py")
    ]  # fmt: skip
    if not frames:
        return "a line"
    frame = frames[-1]
    code = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return f"{frame.filename}:{frame.lineno}: `{code}`"
