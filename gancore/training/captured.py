"""Whole phases as CUDA graphs: hundreds of kernel launches become one.

Small GANs are bound by launches on a GPU: the arithmetic of a phase takes microseconds, launching its kernels a
millisecond. A graph holds a phase from the forward pass to the updated parameters; what changes from step to step is
copied into the tensors that it reads.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
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
        player = game.player(role)
        if role not in self._held:
            self._held[role] = _copied(drawn)
            player.make_capturable()
        held = self._held[role]
        _fill(held, drawn)
        loads = (game.generator.loads, game.discriminator.loads)
        if loads != self._loads:  # graphs would go on writing to tensors that are no longer in use
            self._loads, self._kept, self._warm = loads, {}, {}
        key = role, player.penalties_due(index), measure, probe.kind
        if probe.traceable and key not in self._kept and self._warm.get(key, 0) == WARM_UP:
            self._kept[key] = self._capture(game, role, held, index, measure, probe)
        kept = self._kept.get(key) if probe.traceable else None
        if kept is not None:
            player.fill_rates()
            kept.graph.replay()
            _report(kept, numbers, probe)
            return
        warming = probe.traceable and key not in self._kept
        with player.at_rates(), self.recorder.aside() if warming else nullcontext():
            PLAINLY(game, role, held, index, numbers, measure, probe)
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
        with game.player(role).at_rates():
            return self._captured(game, role, held, index, measure, probe)

    def _captured(
        self, game: Game, role: Role, held: Drawn, index: int, measure: bool, probe: PhaseProbe
    ) -> _Kept | None:
        hosts = back = None
        try:
            hosts, back = HostSide(_objects(game)), WayBack(game, self.recorder.default_stream())
            names: dict[str, Any] = {}

            def work() -> list[Tensor]:
                numbers, taps = Numbers(), probe.like(probe.held_out)
                PLAINLY(game, role, held, index, numbers, measure, taps)
                reading = taps.reading.packed()
                names["numbers"] = tuple(name for name, _ in numbers.values())
                names["labels"] = tuple(labels for labels, _ in reading.parts)
                return [_joined([value for _, value in numbers.values()]), *(value for _, value in reading.parts)]

            def launched() -> None:
                with self.recorder.aside():
                    PLAINLY(game, role, held, index, Numbers(), measure, probe.like(probe.held_out))

            launched()
            expected, changed = back.now(), hosts.put_back()
            back.go()
            if changed or not back.same_tensors():
                named = ", ".join(changed) or "an optimizer"
                raise _Frozen(f"{named} changed in Python in a phase, which a graph would freeze")
            graph, left = self.recorder.record(work, back.streams)
            graph.replay()
            hosts.put_back()
            difference = back.difference(expected)
            back.go()
            agrees = difference <= TOLERANCE
            if not agrees:
                launched()
                hosts.put_back()
                agrees = difference <= SOME_TIMES * back.difference(expected)
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
        if not agrees:
            self._say(f"{role}'s phase is not captured: what it changes would differ by {difference:.1g}")
            return None
        return _Kept(graph, left=left, **names)


class _Frozen(Exception):  # noqa: N818 - the name says it
    """A graph would hold something that changes."""


def _parts(drawn: Drawn) -> tuple[Tensor | None, ...]:
    return drawn.z, drawn.fake_labels, drawn.real, drawn.real_labels


def _fill(held: Drawn, drawn: Drawn) -> None:
    """With what was drawn elsewhere."""
    for place, value in zip(_parts(held), _parts(drawn), strict=True):
        if place is not None and value is not None and value is not place:
            place.copy_(value)


def _copied(drawn: Drawn) -> Drawn:
    values = _parts(drawn)
    return Drawn(*(None if value is None else value.clone() for value in values))  # type: ignore[arg-type]


def _joined(values: Sequence[Tensor]) -> Tensor:
    """Numbers in one vector, in the widest of their types, which holds all of them exactly."""
    widest = functools.reduce(torch.promote_types, (value.dtype for value in values))
    return torch.stack([value.to(widest) for value in values])


def _report(kept: _Kept, numbers: Numbers, probe: PhaseProbe) -> None:
    """The graph's numbers stand in the same places at every replay, so that copies are handed on."""
    values, *measured = (value.clone() for value in kept.left)
    for name, value in zip(kept.numbers, values.unbind(), strict=True):
        numbers.add(name, value)
    if measured:
        probe.give(Reading(list(zip(kept.labels, measured, strict=True))))


def _objects(game: Game) -> Iterator[tuple[str, Any]]:
    """Those that a phase asks, its update included."""
    yield from objects_of(game)
    for player in (game.generator, game.discriminator):
        yield f"the {player.role}'s optimizer", player.optimizer
