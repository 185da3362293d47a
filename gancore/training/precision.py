"""Precision of a run: fp32, tf32 or bf16, entered around the loop and left again."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from attrs import frozen


@frozen
class Precision:
    """fp32 means fp32: torch would let convolutions use tf32 on a GPU unasked."""

    name: Literal["fp32", "tf32", "bf16"]
    device: torch.device

    def autocast(self) -> AbstractContextManager[object]:
        """Around the networks' forward passes of a phase. Losses and penalties stay outside, in float32."""
        if self.name == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Around the loop: torch's global switches. Convolutions are also made to choose the same algorithm every
        time."""
        if self.device.type != "cuda":
            yield
            return
        cudnn: Any = torch.backends.cudnn  # torch's stubs do not know its parts
        matmul, conv = torch.backends.cuda.matmul, cudnn.conv
        before = (matmul.fp32_precision, conv.fp32_precision, cudnn.deterministic, cudnn.benchmark)
        wanted = "ieee" if self.name == "fp32" else "tf32"
        try:
            matmul.fp32_precision, conv.fp32_precision = wanted, wanted
            cudnn.deterministic, cudnn.benchmark = True, False
            yield
        finally:
            matmul.fp32_precision, conv.fp32_precision, cudnn.deterministic, cudnn.benchmark = before
