"""Who takes part: loops by hand, gancore with its options, and other libraries where they are installed."""

from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tests.benchmarks.loops import Example, Lean, Ours
from tests.benchmarks.workloads import Workload


class Candidate(Protocol):
    """One that trains a workload, on the networks of the run it was made with."""

    def advance(self, steps: int) -> None: ...

    def losses(self, reals: Iterable[Tensor], latents: Iterable[Tensor], steps: int) -> list[float]:
        """G's loss in each of the first steps."""
        ...


LOOPS: dict[str, Callable[[Workload, Any], Candidate]] = {
    "example-style": Example,
    "lean": Lean,
    "lean bf16": partial(Lean, bf16=True),
}
EAGER = ("train.compile=off", "train.capture=off")
COMPILED = ("train.compile=phase", "train.capture=off")
CAPTURED = ("train.compile=off", "train.capture=on")
BOTH = ("train.compile=phase", "train.capture=on")
BF16 = "train.precision=bf16"
ANY_ORDER = "train.deterministic=false"  # as the loops by hand have it
GANCORE: dict[str, tuple[str, ...]] = {
    "gancore": (),  # as it comes: it chooses for itself what to compile and capture, and these runs are long
    "gancore, no probe": ("health.probe=false",),
    "gancore, eager": EAGER,
    "gancore, eager no probe": ("health.probe=false", *EAGER),
    "gancore, compiled": COMPILED,
    "gancore, captured": CAPTURED,
    "gancore, captured compiled": BOTH,
    "gancore, captured nondeterministic": (*CAPTURED, ANY_ORDER),
    "gancore, bf16 eager": (BF16, *EAGER),
    "gancore, bf16 compiled": (BF16, *COMPILED),
    "gancore, bf16 captured": (BF16, *CAPTURED),
    "gancore, bf16 captured compiled": (BF16, *BOTH),
    "gancore, bf16 captured nondeterministic": (BF16, *CAPTURED, ANY_ORDER),
}
PLAIN = ("health.probe=false", *EAGER)  # what everybody is held against, and whose networks the loops by hand take


@cache
def peers() -> dict[str, Callable[[Workload, Any], Candidate]]:
    """Other libraries that are installed, by name."""
    try:
        from tests.benchmarks.peers import installed
    except ImportError:
        return {}
    return dict(installed())


def not_expressible() -> type[Exception]:
    """What a peer raises that cannot do the mathematics of a workload."""
    try:
        from tests.benchmarks.peers import NotExpressible
    except ImportError:
        return NotImplementedError
    found: type[Exception] = NotExpressible
    return found


def chosen(device: str, names: str = "", *, with_peers: bool = True) -> list[str]:
    """The candidates for a device, or those of `names`: separated by commas, gancore's also without its name."""
    own = [*LOOPS, *(name for name in GANCORE if device != "cpu" or "captured" not in name)]
    everyone = [*own, *(peers() if with_peers else ())]
    if not names:
        return everyone
    wanted = [name.strip() for name in names.split(",")]
    by_name = {alias: name for name in everyone for alias in (name, name.removeprefix("gancore, "))}
    if unknown := [name for name in wanted if name not in by_name]:
        raise SystemExit(f"no candidate {' | '.join(unknown)}; there are {' | '.join(everyone)}")
    return [name for name in everyone if name in {by_name[name] for name in wanted}]


def precision_of(name: str) -> str:
    return "bf16" if "bf16" in name else "fp32"


def build(name: str, workload: Workload, folder: Path, device: str, *settings: str) -> Candidate:
    """The candidate, on a run of its own with further settings.

    Raises:
        UserError: gancore refuses an option of the candidate.
    """
    return make(name, workload, workload.run(folder, device, "fp32", *GANCORE.get(name, PLAIN), *settings))


def make(name: str, workload: Workload, run: Any) -> Candidate:
    """The candidate, on a run of the workload; gancore's as the run is. Others find the networks laid out in memory as
    torch makes them."""
    if name in GANCORE:
        return Ours(workload, run)
    for network in (run.game.generator.network, run.game.discriminator.network):
        network.to(memory_format=torch.contiguous_format)
    return (LOOPS.get(name) or peers()[name])(workload, run)
