"""Whole phases as CUDA graphs: hundreds of kernel launches become one.

Small GANs are bound by launches on a GPU: the arithmetic of a phase takes microseconds, launching its kernels a
millisecond. A graph holds a phase from the forward pass to the updated parameters; what changes from step to step is
copied into the tensors that it reads.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from attrs import Factory, define, field, fields, frozen
from torch import Tensor

from gancore.contracts import Role
from gancore.errors import RunFailed
from gancore.health.probe import PhaseProbe
from gancore.training.numbers import Numbers
from gancore.training.objective import Drawn
from gancore.training.phases import PLAINLY, Game
from gancore.training.player import Player

WARM_UP = 2  # phases of a kind that run as they are first: libraries choose algorithms, optimizers make their state
# Between a replayed phase and the same one launched kernel by kernel, relative to the norm of each tensor that it
# changes. The kernels are the same; only atomic additions may come in another order.
TOLERANCE = 1e-3

_log = logging.getLogger("gancore")


class Graph(Protocol):
    def replay(self) -> None: ...


class Recorder(Protocol):
    """How work on the device is recorded instead of done."""

    def aside(self) -> AbstractContextManager[object]:
        """Around what is done before recording, apart from other work."""
        ...

    def record(self, work: Callable[[], None], streams: Sequence[torch.Generator]) -> Graph:
        """A graph of `work`, which draws from `streams`."""
        ...

    def recover(self, streams: Sequence[torch.Generator]) -> None:
        """After a recording that has failed.

        Raises:
            RunFailed: training cannot go on in this process.
        """
        ...


@define(eq=False)
class CudaRecorder:
    """CUDA graphs on a stream of their own, in one pool of memory: none of them reads what another has left there."""

    device: torch.device
    _stream: Any = field(default=None, init=False)
    _pool: Any = field(default=None, init=False)

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._stream = self._stream or torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    def record(self, work: Callable[[], None], streams: Sequence[torch.Generator]) -> Graph:
        graph = torch.cuda.CUDAGraph()
        for stream in streams:
            graph.register_generator_state(stream)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        torch.cuda.synchronize(self.device)
        # Other threads (data being pinned) may go on talking to the driver.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            work()
        return graph

    def recover(self, streams: Sequence[torch.Generator]) -> None:
        torch.cuda.synchronize(self.device)
        try:  # a capture that breaks off may leave a generator waiting for its end
            for stream in (None, *streams):
                torch.empty(1, device=self.device).uniform_(generator=stream)
        except RuntimeError as error:
            raise RunFailed(
                'a CUDA graph could not be captured, and has left a random stream unusable; set train.capture = "off" '
                f"and resume ({_first_line(error)})"
            ) from error


@frozen(eq=False)
class _Kept:
    """A phase in a graph, and the tensors that it reads and leaves."""

    graph: Graph
    drawn: Drawn
    numbers: list[tuple[str, Tensor]]
    taps: PhaseProbe


@define(eq=False)
class Captured:
    """Takes phases by replaying graphs, one for each kind: measured or not, with or without a lazy penalty, probed.

    A graph is used only once it was seen to change everything as the phase itself does; what cannot be captured runs as
    it is, and the user is told why.
    """

    recorder: Recorder
    _say: Callable[[str], None] = field(default=_log.info, init=False)
    _warm: dict[Any, int] = field(factory=dict, init=False)
    _kept: dict[Any, _Kept | None] = field(factory=dict, init=False)
    _capturable: set[Role] = Factory(set)

    def __call__(
        self, game: Game, role: Role, drawn: Drawn, index: int, numbers: Numbers, measure: bool, probe: PhaseProbe
    ) -> None:
        player = game.player(role)
        if role not in self._capturable:
            self._capturable.add(role)
            player.make_capturable()
        key = role, player.penalties_due(index), measure, probe.kind
        if not probe.traceable or (key in self._kept and self._kept[key] is None):
            PLAINLY(game, role, drawn, index, numbers, measure, probe)
            return
        if self._warm.get(key, 0) < WARM_UP:
            self._warm[key] = self._warm.get(key, 0) + 1
            with self.recorder.aside():
                PLAINLY(game, role, drawn, index, numbers, measure, probe)
            return
        if key not in self._kept:
            self._kept[key] = self._capture(game, role, drawn, index, measure, probe)
        kept = self._kept[key]
        if kept is None:
            PLAINLY(game, role, drawn, index, numbers, measure, probe)
            return
        _fill(kept.drawn, drawn)
        kept.graph.replay()
        _report(kept, numbers, probe)

    def heard_by(self, say: Callable[[str], None]) -> None:
        self._say = say

    def _capture(
        self, game: Game, role: Role, drawn: Drawn, index: int, measure: bool, probe: PhaseProbe
    ) -> _Kept | None:
        """The graph of this phase, and the state as if it had not been."""
        held, numbers = _copied(drawn), Numbers()
        taps = probe.like(probe.held_out)
        changed, streams = _changed_by(game), _streams(game)
        before, at = [tensor.clone() for tensor in changed], [stream.get_state() for stream in streams]

        def go_back() -> None:
            for tensor, value in zip(changed, before, strict=True):
                tensor.copy_(value)
            for stream, state in zip(streams, at, strict=True):
                stream.set_state(state)

        def work() -> None:
            PLAINLY(game, role, held, index, numbers, measure, taps)

        try:
            with torch.no_grad():
                with torch.enable_grad(), self.recorder.aside():
                    PLAINLY(game, role, held, index, Numbers(), measure, probe.like(probe.held_out))
                expected = [tensor.clone() for tensor in changed]
                go_back()
                with torch.enable_grad():
                    graph = self.recorder.record(work, streams)
                graph.replay()
                difference = _difference(changed, expected)
                go_back()
        except Exception as error:
            self.recorder.recover(streams)
            with torch.no_grad():
                go_back()
            self._say(f"{role}'s phase is not captured: {_first_line(error)}")
            return None
        if not difference <= TOLERANCE:
            self._say(f"{role}'s phase is not captured: what it changes would differ by {difference:.1g}")
            return None
        return _Kept(graph, held, numbers.values(), taps)


def _fill(held: Drawn, drawn: Drawn) -> None:
    for attribute in fields(Drawn):
        if (value := getattr(drawn, attribute.name)) is not None:
            getattr(held, attribute.name).copy_(value)


def _copied(drawn: Drawn) -> Drawn:
    values = (getattr(drawn, attribute.name) for attribute in fields(Drawn))
    return Drawn(*(None if value is None else value.clone() for value in values))  # type: ignore[arg-type]


def _report(kept: _Kept, numbers: Numbers, probe: PhaseProbe) -> None:
    """The graph's numbers stand in the same places at every replay, so that copies are handed on."""
    if kept.numbers:
        together = torch.stack([value.float() for _, value in kept.numbers]).unbind()
        for (name, _), value in zip(kept.numbers, together, strict=True):
            numbers.add(name, value)
    probe.give_all(kept.taps)


def _changed_by(game: Game) -> list[Tensor]:
    """Every tensor that a phase may write to: weights, statistics, moments, states of components."""
    found: list[Tensor] = []
    for player in (game.generator, game.discriminator):
        found += [*player.network.parameters(), *player.network.buffers(), *_tensors(player.optimizer.state)]
        found += [t for r in player.regularizers if hasattr(r.component, "state_dict")
                  for t in _tensors(r.component.state_dict())]  # fmt: skip
    if hasattr(game.loss, "state_dict"):
        found += _tensors(game.loss.state_dict())
    return [tensor.detach() for tensor in found]


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    if hasattr(tree, "values"):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return []
    return [tensor for part in tree for tensor in _tensors(part)]


def _streams(game: Game) -> list[torch.Generator]:
    players: tuple[Player, ...] = (game.generator, game.discriminator)
    return [regularizer.context.rng for player in players for regularizer in player.regularizers]


def _difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        a, b = a.double(), b.double()
        worst = max(worst, float((a - b).norm() / (b.norm() + 1e-12)))
    return worst


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
