"""Whether all candidates really do the same updates: G's losses over ten steps, from the same weights, reals, latents.

G's loss depends on all that either network has learned, so that another update anywhere shows in the next step. But so
does rounding, and a GAN makes more of it with every step. How much is measured: the same run from weights that differ
in their last digits. A candidate may differ by some times that, step by step.

Two things have to be held still:

- Power iterations of spectral norm rest: one pass of D over reals and fakes makes one, two passes make two.
- Other libraries draw the points of a gradient penalty for themselves; there its weight is 0. The loops by hand draw
  them from gancore's stream.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from gancore.training.recorder import Tape
from tests.benchmarks.candidates import LOOPS, PLAIN, make
from tests.benchmarks.workloads import Workload

STEPS = 10
# Of weights. Two of fp32: what a network makes of rounding depends on chance as much as on its size.
LAST_DIGITS = {"fp32": (1e-7, 1e-6), "bf16": (2**-8,)}
LEAST = {"fp32": 1e-5, "bf16": 1e-2}  # differences of losses that are always forgiven, relative to the losses' size
SOME_TIMES = 10


class Differs(Exception):  # noqa: N818 - the name says it
    """A candidate does other updates than gancore."""


@frozen(eq=False)
class Reference:
    """What gancore's plain run does: its losses, and the reals and latents that it drew for them.

    Attributes:
        allowed: by precision and step, how far others may be from it, relative to the losses' size.
    """

    losses: list[float]
    reals: list[Tensor]
    latents: list[Tensor]
    allowed: dict[str, list[float]]

    def compare(self, losses: list[float], precision: str) -> float:
        """The largest difference, relative to the losses' size.

        Raises:
            Differs: it is larger than rounding explains.
        """
        found = _differences(self.losses, losses)
        for step, (difference, allowed) in enumerate(zip(found, self.allowed[precision], strict=True), 1):
            if not difference <= allowed:  # NaN is no agreement
                raise Differs(
                    f"does other updates: losses differ by {difference:.1e} at step {step}, {allowed:.1e} is allowed"
                )
        return max(found)


class Parity:
    """Compares candidates with gancore's plain run, which is only done where somebody is compared with it."""

    def __init__(self, workload: Workload, device: str) -> None:
        self._workload, self._device = workload, device
        self._references: dict[tuple[bool, bool], Reference] = {}

    def of_gancore(self, losses: list[float], precision: str) -> float:
        """How far gancore is from it with other options, by its losses in the first ten steps. It draws the same then
        and shows D the same, so that nothing has to be held still.

        Raises:
            Differs: farther than rounding explains.
        """
        return self._reference(rest=False, without_penalty=False).compare(losses, precision)

    def of_others(self, name: str, precision: str) -> float:
        """How far a loop by hand or another library is from it, in its first ten steps.

        Raises:
            Differs: farther than rounding explains.
        """
        without_penalty = name not in LOOPS
        known = self._reference(rest=True, without_penalty=without_penalty)
        with self._run(self._varied(without_penalty), rest=True) as run:
            candidate = make(name, self._varied(without_penalty), run)
            return known.compare(candidate.losses(known.reals, known.latents, STEPS), precision)

    def _varied(self, without_penalty: bool) -> Workload:
        has_one = self._workload.gradient_penalty is not None
        return attrs.evolve(self._workload, gradient_penalty=0.0) if without_penalty and has_one else self._workload

    def _reference(self, *, rest: bool, without_penalty: bool) -> Reference:
        workload = self._varied(without_penalty)
        rest = rest and workload.networks is not None  # gancore's own models have no spectral norm here
        key = (rest, workload is self._workload)
        if key not in self._references:
            tape = Tape()
            with self._run(workload, rest=rest) as run, tape.recording(run):
                losses = make("gancore", workload, run).losses((), (), STEPS)
            allowed = {}
            for precision, digits in LAST_DIGITS.items():
                near = []
                for digit in digits:
                    with self._run(workload, rest=rest) as run:
                        _perturb(run, digit)
                        near.append(_differences(losses, make("gancore", workload, run).losses((), (), STEPS)))
                # By chance a difference can be small in between; what it has been it may be again.
                most = accumulate(map(max, zip(*near, strict=True)), max)
                allowed[precision] = [LEAST[precision] + SOME_TIMES * difference for difference in most]
            reals, latents = ([drawn[0] for drawn in kept] for kept in (tape.reals, tape.latents))
            self._references[key] = Reference(losses, reals, latents, allowed)
        return self._references[key]

    @contextmanager
    def _run(self, workload: Workload, *, rest: bool) -> Iterator[Any]:
        with TemporaryDirectory() as folder:
            run = workload.run(Path(folder), self._device, "fp32", *PLAIN)
            with _at_rest(run.discriminator if rest else nn.Identity()):
                yield run


def _differences(losses: list[float], others: list[float]) -> list[float]:
    size = max(abs(loss) for loss in losses)
    return [abs(a - b) / size for a, b in zip(losses, others, strict=True)]


@torch.no_grad()
def _perturb(run: Any, digit: float) -> None:
    """Change all weights a little, each by its own share."""
    rng = torch.Generator().manual_seed(0)
    for network in (run.game.generator.network, run.game.discriminator.network):
        for weight in network.parameters():
            weight.mul_(1 + digit * torch.randn(weight.shape, generator=rng).to(weight.device))


@contextmanager
def _at_rest(network: nn.Module) -> Iterator[None]:
    """The network's power iterations stand still."""
    iterations = [module for module in network.modules() if isinstance(module, _SpectralNorm)]
    for module in iterations:
        module.eval()
    yield
    for module in iterations:
        module.train()
