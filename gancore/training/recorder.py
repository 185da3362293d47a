"""The flight recorder: which step went wrong first, and a capsule from which that step can be repeated.

A look at the numbers comes every `[log] every` steps, when the batch that did it is long gone. But training is
repeatable: from a copy of the last state that was whole, the same steps are taken again, one by one and under watch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import torch
from attrs import frozen
from torch import Tensor

from gancore.contracts import ROLES, Role
from gancore.health.detective import Detective, Seen, Sighting, look
from gancore.training.state import taken

if TYPE_CHECKING:
    from gancore.training.run import Run


@frozen(eq=False)
class Capsule:
    """A step that goes wrong: everything that is needed to take it again.

    Attributes:
        state: of the run before the step, without what metrics, callbacks, the probe and the doctor keep.
        tape: the reals and latents of the step, in the order of their use.
        sighting: what was seen; None if it cannot be repeated.
    """

    step: int
    state: dict[str, Any]
    tape: "Tape"
    sighting: Sighting | None


@frozen(eq=False)
class Good:
    """A state that was seen to be whole (its memory is the next one's), and the states in which observers left the run
    after it, by step."""

    state: dict[str, Any]
    changed: dict[int, dict[str, Any]] = attrs.field(factory=dict)


class Tape:
    """Reals and latents of one step: recorded from the feed and the latents of a run, or played back in their place."""

    def __init__(self, reals: list[Any] | None = None, latents: list[Any] | None = None) -> None:
        self.reals = reals if reals is not None else []
        self.latents = latents if latents is not None else []

    @contextmanager
    def recording(self, run: "Run") -> Iterator[None]:
        game = run.game
        feed: Any = _Recorded(game.feed, self.reals)
        latents: Any = _Recorded(game.latents, self.latents)
        run.game = attrs.evolve(game, feed=feed, latents=latents)
        try:
            yield
        finally:
            run.game = game

    @contextmanager
    def playing(self, run: "Run") -> Iterator[None]:
        game = run.game
        feed: Any = _Played(self.reals)
        latents: Any = _Played(self.latents)
        run.game = attrs.evolve(game, feed=feed, latents=latents)
        try:
            yield
        finally:
            run.game = game


class _Recorded:
    """Passes on, and keeps a copy of what was drawn."""

    def __init__(self, source: Any, kept: list[Any]) -> None:
        self._source, self._kept = source, kept

    def next(self, *places: Any) -> Any:
        return self._keep(self._source.next(*places))

    def draw(self, n: int, *places: Any) -> Any:
        return self._keep(self._source.draw(n, *places))

    def _keep(self, drawn: Any) -> Any:
        self._kept.append([None if part is None else part.clone() for part in drawn])
        return drawn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


class _Played:
    def __init__(self, kept: list[Any]) -> None:
        self._left = list(kept)

    def next(self, *places: Any) -> Any:
        return tuple(self._left.pop(0))

    def draw(self, n: int, *places: Any) -> Any:
        return self.next()


@torch.no_grad()
def remember(run: "Run", over: dict[str, Any] | None = None) -> dict[str, Any]:
    """A copy of what the next steps depend on, where its tensors are.

    Args:
        over: an older one that is no longer needed, whose memory is taken.
    """
    places: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
    copied = _copy(taken(run, onlookers=False), over, places)
    assert isinstance(copied, dict)
    for mine, theirs in places.values():
        torch._foreach_copy_(mine, theirs)  # a GPU takes all of a kind in one launch
    return copied


def investigate(run: "Run", good: Good) -> Capsule:
    """Find the first thing that went wrong after the state `good`. Leaves the run in an unusable state.

    Args:
        good: the last state known to be whole.
    """
    end, bad = run.step, remember(run)
    run.load_state_dict(good.state)
    while run.step < end:
        if run.step in good.changed:
            run.load_state_dict(good.changed[run.step])
        before, tape = remember(run), Tape()
        with tape.recording(run):
            sighting = take_step(run)
        if sighting is not None:
            return Capsule(before["step"] + 1, before, tape, sighting)
    # The same steps went well: something else has changed the state. What is known is how it was found.
    run.load_state_dict(bad)
    tape = Tape()
    with tape.recording(run):
        sighting = take_step(run)
    return Capsule(end + 1, bad, tape, sighting)


def take_step(run: "Run") -> Sighting | None:
    """One step under watch: what was seen first, or None, and then the step is taken."""
    networks = {role: getattr(run.game, role).network for role in ROLES}

    def detective(role: Role, index: int) -> Detective:
        return Detective(role, networks)

    try:
        for role, network in networks.items():
            for name, value in network.state_dict().items():
                if value.is_floating_point():
                    look(value, "weight", f"{role} {name}", "")
        run.advance(watch=detective)
    except Seen as seen:
        return seen.sighting
    return None


def _copy(value: Any, over: Any, places: dict[Any, tuple[list[Tensor], list[Tensor]]]) -> Any:
    """With tensors of `over`, where they fit, that are still to be filled: by what is in `places`."""
    if type(value) in (float, int, str, bool):  # most of what there is
        return value
    if isinstance(value, Tensor):
        if not isinstance(over, Tensor) or over is value or not _alike(value, over):
            return value.detach().clone()
        mine, theirs = places.setdefault((value.device, value.dtype), ([], []))
        mine.append(over)
        theirs.append(value)
        return over
    if isinstance(value, dict):
        before = over if isinstance(over, dict) else {}
        return {key: _copy(item, before.get(key), places) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = over if isinstance(over, list | tuple) and len(over) == len(value) else [None] * len(value)
        return type(value)(_copy(item, place, places) for item, place in zip(value, items, strict=True))
    return value


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device and a.stride() == b.stride()


def packed(capsule: Capsule) -> dict[str, Any]:
    """What a capsule file holds, besides the experiment."""
    return {
        "step": capsule.step,
        "state": capsule.state,
        "reals": capsule.tape.reals,
        "latents": capsule.tape.latents,
        "sighting": attrs.asdict(capsule.sighting) if capsule.sighting else None,
    }


def unpacked(state: dict[str, Any], device: torch.device) -> Capsule:
    """The capsule of a file, with the tape on a device."""
    tape = Tape(*([[_to(part, device) for part in drawn] for drawn in state[name]] for name in ("reals", "latents")))
    return Capsule(state["step"], state["state"], tape, Sighting(**state["sighting"]) if state["sighting"] else None)


def _to(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
