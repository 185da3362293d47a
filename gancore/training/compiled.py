"""Phases traced into graphs and compiled by inductor: one call for forward, penalties and backward."""

import copy
import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from attrs import define, field, frozen
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.fx import GraphModule

from gancore.contracts import Role
from gancore.errors import first_line
from gancore.health.taps import PhaseProbe
from gancore.training.joinable import joinable
from gancore.training.numbers import Numbers
from gancore.training.objective import Drawn
from gancore.training.phases import EAGER, Game
from gancore.training.player import Player
from gancore.training.simplify import simplify
from gancore.training.tracing import Traced, inputs, state_of, trace

# Between a compiled phase and the same graph run operator by operator, relative to the norm of each gradient. Sums in
# another order differ by 1e-6 or so in float32; bf16 keeps 8 bits, and cancels.
TOLERANCE = {"fp32": 1e-2, "tf32": 5e-2, "bf16": 0.25}

_log = logging.getLogger("gancore")


Function = Callable[..., Sequence[Tensor]]
Machine = Callable[[GraphModule, Sequence[Tensor]], Function]


def by_inductor(graph: GraphModule, examples: Sequence[Tensor], **options: bool) -> Function:
    # What it says of GPUs is of no interest: it is asked only for the device that there is.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own old parts, and of fp32 that is no tf32: that is what was asked for
        import torch._inductor  # slow, and needed here only

        # Kernels chosen by a stopwatch could be others in a resumed run.
        if hasattr(torch._inductor.config, "deterministic"):
            options["deterministic"] = True
        made: Function = torch._inductor.compile(graph, list(examples), options=options)
    return made


def phase_by_inductor(graph: GraphModule, examples: Sequence[Tensor]) -> Function:
    """On a CPU, with what goes from loop to loop and from library to library written in C++: in a small network's phase
    that takes less time than Python does; in return, handing over a tensor takes more."""
    if examples[0].device.type == "cpu":
        try:
            return by_inductor(graph, examples, cpp_wrapper=True)
        except Exception as error:  # somebody's own operator, perhaps, which Python can call
            _log.debug("no wrapper in C++: %s", error)
    return by_inductor(graph, examples)


def operator_by_operator(graph: GraphModule, examples: Sequence[Tensor]) -> Function:
    """The graph as it is: to see what tracing does, without a compiler."""
    made: Function = graph
    return made


@frozen(eq=False)
class _Compiled:
    traced: Traced
    call: Function
    shared: tuple[int, ...]


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
    machine: Machine = field(default=phase_by_inductor)
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
            if phase.shared:
                found = [value.clone() if i in phase.shared else value for i, value in enumerate(found)]
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
                with undisturbed():
                    simpler = joinable(simplify(copy.deepcopy(traced.graph)))
                    call = self.machine(simpler, [example.detach() for example in examples])
                # On copies, as a phase may change its inputs.
                copies = [[example.detach().clone() for example in examples] for _ in range(2)]
                ours, theirs = list(call(*copies[0])), list(traced.graph(*copies[1]))
            difference = _difference(traced, _compared(traced, ours) + copies[0], _compared(traced, theirs) + copies[1])
        except Exception as error:
            self._without(f"{what} is not compiled: {reason(error)}")
            return None
        if not difference <= TOLERANCE[game.precision.name]:
            self._without(
                f"{what} is not compiled: what it computes would differ by {difference:.1g} from the eager phase"
            )
            return None
        self._say(f"{what} compiled in {time.perf_counter() - begin:.0f} s")
        return _Compiled(traced, call, _shared(ours))

    def _without(self, why: str) -> None:
        self.failed.append(why)
        self._say(why)


def _of(probe: PhaseProbe) -> str:
    return " with its probe" if any(probe.kind) else ""


def _compared(traced: Traced, found: Sequence[Tensor]) -> list[Tensor]:
    """Each gradient, and each number for the log by itself: a large one would hide what is wrong with a small one."""
    count = sum(traced.trained)
    return [*found[:count], *(found[count].reshape(-1).unbind() if traced.numbers else ())]


def _difference(traced: Traced, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest relative difference from the same graph, operator by operator: of gradients, of numbers for the log,
    and of what the phase has changed (batch statistics)."""
    count = sum(traced.trained)
    pairs = [(a.double(), b.double()) for a, b in zip(ours, theirs, strict=True)]
    # What is 0 but for rounding (a bias before batch norm) has no digits to compare.
    least = 1e-3 * torch.stack([b.norm() for _, b in pairs[:count]]).norm() + 1e-12
    apart = [(a - b).norm() / b.norm().clamp(min=least) for a, b in pairs[:count]]
    apart += [(a - b).norm() / b.norm().clamp(min=1) for a, b in pairs[count:]]
    return float(torch.stack(apart).max())


def _shared(found: Sequence[Tensor]) -> tuple[int, ...]:
    """Places of outputs that lie in the memory of an earlier one: two parameters with one gradient, or with parts of
    one."""
    places = [output.untyped_storage().data_ptr() for output in found]
    return tuple(i for i, place in enumerate(places) if place in places[:i])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and a scheduler's signal go to all processes of a group, also to the compiler: they have to wait."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
        except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
            if not isinstance(error, torch._dynamo.exc.TorchDynamoException) and "double backward" not in str(error):
                raise
            self._say(f"the networks are not compiled: {first_line(error)}")
            for player in self._players:
                player.compiled = None
            EAGER(game, role, drawn, index, numbers, probe)

    def heard_by(self, say: Callable[[str], None]) -> None:
        self._say = say


def reason(error: Exception) -> str:
    """In words that the user can do something with."""
    if isinstance(error, DataDependentOutputException):
        return "the value of a tensor is read in Python"
    if isinstance(error, DynamicOutputShapeException):
        return "a shape depends on values"
    if "FakeTensor" in str(error):
        return "a tensor is used that is neither an input, nor a parameter or buffer of the networks"
    if "Mixing fake modes" in str(error) or "zip() argument" in str(error):
        return "the networks share a module"
    return first_line(error)
