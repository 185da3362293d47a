"""Whole phases as CUDA graphs: hundreds of kernel launches become one.

Small GANs are bound by launches on a GPU: the arithmetic of a phase takes microseconds, launching its kernels a
millisecond. A graph holds a phase from the forward pass to the updated parameters; what changes from step to step is
drawn right into the tensors that it reads.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from attrs import define, field, frozen
from torch import Tensor

from gancore.contracts import Role
from gancore.errors import RunFailed, first_line
from gancore.health.reading import Label, Reading
from gancore.health.taps import PhaseProbe
from gancore.training.cuda_graphs import Graph, Recorder
from gancore.training.hostside import HostSide
from gancore.training.numbers import Numbers
from gancore.training.objective import Drawn
from gancore.training.phases import PLAINLY, Game
from gancore.training.places import ANYWHERE, Places
from gancore.training.tracing import objects_of
from gancore.training.wayback import WayBack, streams_of

WARM_UP = 2  # phases of a kind that run as they are first: libraries choose algorithms, optimizers make their state
# Between what a replayed phase changes and what the same one does, launched kernel by kernel, relative to the change of
# each tensor. The kernels are the same; only atomic additions may come in another order. An optimizer that goes by
# signs makes much of that: so the graph may also differ by some times as much as the phase does from itself.
TOLERANCE, SOME_TIMES = 1e-2, 10

_log = logging.getLogger("gancore")


@frozen(eq=False)
class _Kept:
    """A phase in a graph, with the tensors that it leaves: numbers, and what the probe measured, by their names and
    labels."""

    graph: Graph
    numbers: tuple[str, ...]
    labels: tuple[Sequence[Label], ...]
    left: list[Tensor]


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
    _held: dict[Role, Drawn] = field(factory=dict, init=False)
    _loads: tuple[int, int] = field(default=(0, 0), init=False)

    def __call__(
        self, game: Game, role: Role, drawn: Drawn, index: int, numbers: Numbers, measure: bool, probe: PhaseProbe
    ) -> None:
        player, held = game.player(role), self._held.get(role)
        if held is None:
            held = self._held[role] = _each(drawn, Tensor.clone)
            player.make_capturable()
        else:
            _fill(held, drawn)
        loads = (game.generator.loads, game.discriminator.loads)
        if loads != self._loads:  # graphs would go on writing to tensors that are no longer in use
            self._loads, self._kept, self._warm = loads, {}, {}
        key = role, player.penalties_due(index), measure, probe.kind
        if probe.traceable and key not in self._kept and self._warm.get(key, 0) == WARM_UP:
            with player.at_rates():
                self._kept[key] = self._capture(game, role, held, index, measure, probe)
        kept = self._kept.get(key) if probe.traceable else None
        if kept is not None:
            player.fill_rates()
            kept.graph.replay()
            _report(kept, numbers, probe)
            return
        warming = probe.traceable and key not in self._kept
        own = Numbers()
        with player.at_rates(), self.recorder.aside() if warming else nullcontext():
            PLAINLY(game, role, _each(held, Tensor.clone), index, own, measure, probe)  # somebody may keep them
        # In a row as a graph leaves it: a run that is resumed warms up where one that was not replays, and numbers are
        # summed up row by row.
        names, row = own.as_row()
        if names:
            numbers.add_row(names, *row)
        if warming:
            self._warm[key] = self._warm.get(key, 0) + 1

    def places(self, role: Role) -> tuple[Places, Places]:
        """Those that all graphs of its phases read."""
        held = self._held.get(role)
        return (ANYWHERE, ANYWHERE) if held is None else ((held.real, held.real_labels), (held.z, held.fake_labels))

    def heard_by(self, say: Callable[[str], None]) -> None:
        self._say = say

    def _capture(
        self, game: Game, role: Role, held: Drawn, index: int, measure: bool, probe: PhaseProbe
    ) -> _Kept | None:
        """The graph of this phase, and the state as if it had not been."""
        hosts = back = None
        names: dict[str, Any] = {}

        def work() -> list[Tensor]:
            numbers, taps = Numbers(), probe.like(probe.held_out)
            # Under other names: that somebody keeps them is seen by what he had before.
            PLAINLY(game, role, _each(held, Tensor.detach), index, numbers, measure, taps)
            reading = taps.reading.packed()
            names["numbers"], row = numbers.as_row()
            names["labels"] = tuple(labels for labels, _ in reading.parts)
            return [*row, *(value for _, value in reading.parts)]

        try:
            hosts = HostSide(_objects(game))
            back = WayBack(game, self.recorder.default_stream(), [part for part in _parts(held) if part is not None])
            with self.recorder.aside():
                work()
            expected, changed = back.now(), hosts.put_back()
            back.go()
            if changed or not back.same_tensors():
                named = ", ".join(changed) or "an optimizer"
                raise _Frozen(f"{named} changed in Python in a phase, which a graph would freeze")
            graph, left = self.recorder.record(work, back.streams)
            graph.replay()
            hosts.put_back()
            apart = back.differences(expected)
            back.go()
            own = [0.0] * len(apart)
            if not all(difference <= TOLERANCE for difference in apart):
                with self.recorder.aside():
                    work()
                hosts.put_back()
                own = back.differences(expected)
                back.go()
        except RunFailed:
            raise
        except Exception as error:
            if not isinstance(error, _Frozen):
                self.recorder.recover(streams_of(game))
            if hosts is not None and back is not None:
                hosts.put_back()
                back.go()
            self._say(f"{role}'s phase is not captured: {first_line(error)}")
            return None
        if not _agree(apart, own, back.moved(expected)):
            self._say(f"{role}'s phase is not captured: what it changes would differ by {_most(apart):.1g}")
            return None
        return _Kept(graph, left=left, **names)


def _agree(apart: Sequence[float], own: Sequence[float], moved: Sequence[bool]) -> bool:
    """Whether a graph changes every tensor as the phase does, which differs by `own` from itself. Most of those that
    move at all have to be the same: a graph that does nothing is not excused by what trembles."""
    same = [difference <= TOLERANCE for difference in apart]  # NaN is not
    alike = all(a <= max(TOLERANCE, SOME_TIMES * b) for a, b in zip(apart, own, strict=True))
    return alike and 2 * sum(s for s, m in zip(same, moved, strict=True) if m) >= sum(moved)


def _most(apart: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, apart)) else max(apart)


class _Frozen(Exception):  # noqa: N818 - the name says it
    """A graph would hold something that changes."""


def _parts(drawn: Drawn) -> tuple[Tensor | None, ...]:
    return drawn.z, drawn.fake_labels, drawn.real, drawn.real_labels


def _fill(held: Drawn, drawn: Drawn) -> None:
    """With what was drawn elsewhere."""
    for place, value in zip(_parts(held), _parts(drawn), strict=True):
        if place is not None and value is not None and value is not place:
            place.copy_(value)


def _each(drawn: Drawn, made: Callable[[Tensor], Tensor]) -> Drawn:
    return Drawn(*(None if value is None else made(value) for value in _parts(drawn)))  # type: ignore[arg-type]


def _report(kept: _Kept, numbers: Numbers, probe: PhaseProbe) -> None:
    """The graph's numbers stand in the same places at every replay, so that copies are handed on."""
    measured = [value.clone() for value in kept.left]
    if kept.numbers:
        numbers.add_row(kept.numbers, measured.pop(0))
    if measured:
        probe.give(Reading(list(zip(kept.labels, measured, strict=True))))


def _objects(game: Game) -> Iterator[tuple[str, Any]]:
    """Those that a phase asks, its update included."""
    yield from objects_of(game)
    for player in (game.generator, game.discriminator):
        yield f"the {player.role}'s optimizer", player.optimizer
