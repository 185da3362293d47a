"""Precision of a run: fp32, tf32 or bf16, and whether its last bits are the same every time; entered around the loop
and left again."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from attrs import frozen


@frozen
class Precision:
    """fp32 means fp32: torch would let convolutions use tf32 on a GPU unasked.

    Attributes:
        deterministic: a GPU's convolutions choose the same algorithm every time, and one that adds up in one order;
            else the fastest, found by trying.
    """

    name: Literal["fp32", "tf32", "bf16"]
    device: torch.device
    deterministic: bool = True

    def autocast(self) -> AbstractContextManager[object]:
        """Around the networks' forward passes of a phase. Losses and penalties stay outside, in float32."""
        if self.name == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Around all that runs networks: torch's global switches.

        The older pair of switches: setting the newer ones makes every later reading of the older an error, and other
        people's code (`torch.backends.cudnn.flags`) reads them.
        """
        if self.device.type != "cuda":
            yield
            return
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)
        tf32, deterministic = self.name == "tf32", self.deterministic
        _switch(tf32, tf32, deterministic, not deterministic)
        try:
            yield
        finally:
            _switch(*before)


def _switch(matmul: bool, convolution: bool, deterministic: bool, benchmark: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch 2.9 announces the newer switches here
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark
