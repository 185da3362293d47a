"""Phases traced into graphs and compiled by inductor: one call for forward, penalties and backward."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import define, field, frozen
from torch import Tensor
from torch.fx import GraphModule

from gancore.contracts import Role
from gancore.health.probe import PhaseProbe
from gancore.training.numbers import Numbers
from gancore.training.objective import Drawn
from gancore.training.phases import EAGER, Game
from gancore.training.player import Player
from gancore.training.tracing import Traced, inputs, state_of, trace

# Between a compiled phase and the same graph run operator by operator, relative to the norm of each gradient. Sums in
# another order differ by 1e-6 or so in float32; bf16 keeps 8 bits, and cancels.
TOLERANCE = {"fp32": 1e-2, "tf32": 5e-2, "bf16": 0.25}

_log = logging.getLogger("gancore")


Function = Callable[..., Sequence[Tensor]]
Machine = Callable[[GraphModule, Sequence[Tensor]], Function]


def by_inductor(graph: GraphModule, examples: Sequence[Tensor]) -> Function:
    # What it says of GPUs is of no interest: it is asked only for the device that there is.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import torch._inductor  # slow, and needed here only

    made: Function = torch._inductor.compile(graph, list(examples))
    return made


def operator_by_operator(graph: GraphModule, examples: Sequence[Tensor]) -> Function:
    """The graph as it is: to see what tracing does, without a compiler."""
    made: Function = graph
    return made


@frozen(eq=False)
class _Compiled:
    traced: Traced
    call: Function


@define(eq=False)
class Compiled:
    """Computes gradients by compiled graphs, one for each kind of phase: with or without a lazy penalty, probed or not.

    A phase that cannot be traced, or whose compiled gradients are not those of the eager one, runs eagerly, and the
    user is told why.

    Args:
        clock: the run's.
        machine: makes a function of a graph and examples of its inputs.

    Attributes:
        failed: which phases run eagerly, and why.
    """

    clock: Tensor
    machine: Machine = field(default=by_inductor)
    failed: list[str] = field(factory=list, init=False)
    _say: Callable[[str], None] = field(default=_log.info, init=False)
    _state: list[Tensor] = field(factory=list, init=False)
    _phases: dict[Any, _Compiled | None] = field(factory=dict, init=False)

    def __call__(self, game: Game, role: Role, drawn: Drawn, index: int, numbers: Numbers, probe: PhaseProbe) -> None:
        player = game.player(role)
        key = role, player.penalties_due(index), probe.kind
        if key not in self._phases and probe.traceable:
            self._phases[key] = self._compile(game, role, drawn, index, probe)
        phase = self._phases.get(key) if probe.traceable else None
        if phase is None:
            EAGER(game, role, drawn, index, numbers, probe)
            return
        traced = phase.traced
        with torch.no_grad():
            draws = [draw() for draw in traced.draws]
            found = phase.call(*inputs(self._state, drawn, probe, draws))
        traced.deliver(found, player, numbers, probe)

    def heard_by(self, say: Callable[[str], None]) -> None:
        self._say = say

    def _compile(self, game: Game, role: Role, drawn: Drawn, index: int, probe: PhaseProbe) -> _Compiled | None:
        if not self._phases:
            self._say("compiling: the first steps take longer (what is compiled is kept for the next run)")
        begin = time.perf_counter()
        self._state = self._state or state_of(game, self.clock)
        what = f"{role}'s phase{_of(probe)}"
        try:
            traced = trace(game, role, drawn, self.clock, index, probe)
            examples = inputs(self._state, drawn, probe, [draw.example() for draw in traced.draws])
            with torch.no_grad():
                call = self.machine(traced.graph, [example.detach() for example in examples])
                difference = _difference(traced, call, examples)
        except Exception as error:
            self._without(f"{what} is not compiled: {_first_line(error)}")
            return None
        if not difference <= TOLERANCE[game.precision.name]:
            self._without(f"{what} is not compiled: its gradients would differ by {difference:.1g} from eager ones")
            return None
        self._say(f"{what} compiled in {time.perf_counter() - begin:.0f} s")
        return _Compiled(traced, call)

    def _without(self, why: str) -> None:
        self.failed.append(why)
        self._say(why)


def _of(probe: PhaseProbe) -> str:
    return " with its probe" if any(probe.kind) else ""


def _difference(traced: Traced, call: Function, examples: Sequence[Tensor]) -> float:
    """The largest relative difference of a gradient from that of the same graph, operator by operator. On copies, as
    a phase may change its inputs (batch statistics)."""
    ours, theirs = (run(*(example.detach().clone() for example in examples)) for run in (call, traced.graph))
    count = sum(traced.trained)
    pairs = [(a.double(), b.double()) for a, b in zip(ours[:count], theirs[:count], strict=True)]
    # What is 0 but for rounding (a bias before batch norm) has no digits to compare.
    least = 1e-3 * torch.stack([b.norm() for _, b in pairs]).norm() + 1e-12
    worst = torch.stack([(a - b).norm() / b.norm().clamp(min=least) for a, b in pairs]).max()
    return float(worst)


@define(eq=False)
class CompiledNetworks:
    """The networks' forward and backward compiled by `torch.compile`, everything else eager.

    Penalties are handed the networks themselves: `torch.compile` has no second derivative.
    """

    _players: Sequence[Player]
    _say: Callable[[str], None] = field(default=_log.info, init=False)

    def __attrs_post_init__(self) -> None:
        for player in self._players:
            player.compiled = torch.compile(player.network, dynamic=False)

    def __call__(self, game: Game, role: Role, drawn: Drawn, index: int, numbers: Numbers, probe: PhaseProbe) -> None:
        try:
            EAGER(game, role, drawn, index, numbers, probe)
        except torch._dynamo.exc.TorchDynamoException as error:
            self._say(f"the networks are not compiled: {_first_line(error)}")
            for player in self._players:
                player.compiled = None
            EAGER(game, role, drawn, index, numbers, probe)

    def heard_by(self, say: Callable[[str], None]) -> None:
        self._say = say


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
