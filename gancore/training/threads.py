"""How many threads torch computes with on the CPU, and in which one gradients are.

Threads that have finished their part of an operation spin until the others have theirs. Where something else runs on
one of the cores, that wait becomes most of the time: convolutions were seen to take ten times as long on two threads as
on one. Threads that sleep instead (OMP_WAIT_POLICY=passive, read when torch is loaded) do not suffer; the command line
asks for that. Where torch was loaded without it, one thread is the safe choice.
"""

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Literal

import torch
from attrs import frozen

WORTH = 1e9  # floating-point operations of a phase below which waking threads costs more than they bring


@frozen
class Threads:
    """
    Attributes:
        number: of threads; None leaves it as it is.
        why: in words, for the user.
    """

    number: int | None = None
    why: str = ""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Around all that computes: torch's own number of threads is one for the whole process.

        A backward stays in the thread that asks for it. For a GPU torch has another one, which numbers the nodes of
        second derivatives by itself: gradients would be summed in an order that depends on all that the process has
        done before, and differ in their last bits.
        """
        before = torch.get_num_threads()
        with torch.autograd.set_multithreading_enabled(False):
            if self.number is None or self.number == before:
                yield
                return
            torch.set_num_threads(self.number)
            try:
                yield
            finally:
                torch.set_num_threads(before)


def choose(
    wanted: int | Literal["auto"],
    device: torch.device,
    work: float,
    environment: "MutableMapping[str, str]" = os.environ,
) -> Threads:
    """The same choice whenever machine, environment and experiment are the same: sums in another order, as another
    number of threads makes them, differ in their last bits.

    Args:
        work: floating-point operations of a phase; 0 if nobody knows.
    """
    if device.type != "cpu":
        return Threads()
    if wanted != "auto":
        return Threads(wanted, "train.threads")
    if "OMP_NUM_THREADS" in environment:
        return Threads()  # the user has said it to torch
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1:
        return Threads(1, "there is one core")
    if environment.get("OMP_WAIT_POLICY", "").lower() != "passive":
        return Threads(1, "threads would spin beside other work: OMP_WAIT_POLICY=passive was not set")
    if work and work < WORTH:
        return Threads(1, "the networks are small")
    return Threads(cores, f"of {cores} cores")
