"""A phase's objective and its gradients as one graph: parameters go in, gradients come out.

The graph is made of the very code that runs eagerly (`gancore.training.objective`), forward and backward together, so
that penalties with a second derivative are in it as well. Everything that changes from step to step is an input.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import attrs
import torch
from attrs import frozen
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.stateless import _reparametrize_module

from gancore.contracts import Role
from gancore.health.reading import Label, Reading
from gancore.health.taps import PhaseProbe
from gancore.training.draws import Draw, Giving, Noting, UntraceableError
from gancore.training.hostside import HostSide
from gancore.training.numbers import Numbers
from gancore.training.objective import Drawn, gradients, objective
from gancore.training.phases import Game
from gancore.training.player import Player


@frozen(eq=False)
class Traced:
    """A phase as a graph.

    Attributes:
        graph: flat tensors, as `inputs` puts them, to flat tensors: gradients, a row of numbers, what the probe saw.
        draws: what components draw in it, in order.
        trained: by parameter of the player, whether it has a gradient.
        numbers: names of the numbers for the log.
        _labels: of what the probe measured; _averaged: with the gradients as they are after the all-reduce.
    """

    graph: GraphModule
    draws: tuple[Draw, ...]
    trained: tuple[bool, ...]
    numbers: tuple[str, ...]
    _labels: tuple[Sequence[Label], ...]
    _averaged: bool

    def deliver(self, found: Sequence[Tensor], player: Player, numbers: Numbers, probe: PhaseProbe) -> None:
        """Put the outputs where the eager phase would have left them."""
        outputs = iter(found)
        for parameter, trained in zip(player.parameters, self.trained, strict=True):
            parameter.grad = next(outputs) if trained else None
        if self.numbers:
            numbers.add_row(self.numbers, next(outputs))
        if any(probe.kind):
            probe.give(Reading(list(zip(self._labels, outputs, strict=True))), averaged=self._averaged)


def state_of(game: Game, clock: Tensor) -> list[Tensor]:
    """What a phase reads of the run; the same tensors in every step."""
    return [*_tensors(game.generator.network).values(), *_tensors(game.discriminator.network).values(), clock]


def inputs(state: Sequence[Tensor], drawn: Drawn, probe: PhaseProbe, draws: Sequence[Tensor]) -> list[Tensor]:
    """The graph's, in their order."""
    given = (drawn.z, drawn.fake_labels, drawn.real, drawn.real_labels, *probe.held_out)
    return [*state, *(value for value in given if value is not None), *draws]


def trace(game: Game, role: Role, drawn: Drawn, clock: Tensor, index: int, probe: PhaseProbe) -> Traced:
    """Trace the phase, without computing anything.

    Raises:
        UntraceableError: random numbers cannot be lifted out of it, or something changes in Python.
        Exception: whatever a component raises that looks at values.
    """
    parts: dict[str, Any] = {}

    def run(*flat: Tensor) -> list[Tensor]:
        own, (names, row), reading = _differentiated(game, role, drawn, index, probe, flat)
        parts["trained"] = tuple(gradient is not None for gradient in own)
        parts["numbers"] = names
        parts["labels"], parts["averaged"] = tuple(labels for labels, _ in reading.parts), game.ranks.size == 1
        found = [*own, *row, *(value for _, value in reading.parts)]
        return [value.detach() for value in found if value is not None]

    examples = [value.detach() for value in inputs(state_of(game, clock), drawn, probe, ())]
    noting, before = Noting(), HostSide(objects_of(game))
    with _undone(game, clock.device):
        try:
            run(*(value.clone() for value in examples))  # what is made on first use is now made, of real numbers
            hosts = HostSide(objects_of(game))
            mode = FakeTensorMode()
            with mode, noting:
                run(*(mode.from_tensor(value) for value in examples))

            def given(*flat: Tensor) -> list[Tensor]:
                with Giving(flat[len(examples) :]):
                    return run(*flat[: len(examples)])

            graph = make_fx(given, tracing_mode="fake")(*examples, *(draw.example() for draw in noting.draws))
            if changed := hosts.put_back():
                raise UntraceableError(f"{_and(changed)} changed in Python in a phase, which a graph would freeze")
        except Exception:
            before.put_back()
            raise
    return Traced(graph, tuple(noting.draws), **parts)


def _differentiated(
    game: Game, role: Role, drawn: Drawn, index: int, probe: PhaseProbe, flat: Sequence[Tensor]
) -> tuple[list[Tensor | None], tuple[tuple[str, ...], list[Tensor]], Reading]:
    """The phase up to its update, with the inputs `flat` in the places of what they are: gradients, numbers, and what
    the probe measured."""
    left = iter(flat)
    networks = {player.role: {name: next(left) for name in _tensors(player.network)} for player in _players(game)}
    clock = next(left)
    own = {name for name, parameter in game.player(role).network.named_parameters() if parameter.requires_grad}
    networks[role] = {
        name: value.detach().requires_grad_() if name in own else value for name, value in networks[role].items()
    }
    given = attrs.evolve(
        drawn, **{field.name: next(left) for field in attrs.fields(Drawn) if getattr(drawn, field.name) is not None}
    )
    taps = probe.like(tuple(None if value is None else next(left) for value in probe.held_out))
    numbers = Numbers()
    with _swapped(game, networks, clock) as at_clock, torch.enable_grad():
        player = at_clock.player(role)
        found = objective(at_clock, role, given, index, numbers, taps)
        found_at = gradients(found, player.parameters, taps)
    if game.ranks.size == 1:  # otherwise it is the mean over all processes whose norm counts
        taps.averaged(found_at)
    return found_at, numbers.as_row(), taps.reading.packed()


@contextmanager
def _swapped(game: Game, networks: dict[Role, dict[str, Tensor]], clock: Tensor) -> Iterator[Game]:
    """The game with other tensors in the places of its networks' and of its clock."""
    with ExitStack() as stack:
        for player in _players(game):
            stack.enter_context(_reparametrize_module(player.network, networks[player.role]))
        G, D = (_at(player, clock) for player in _players(game))
        yield attrs.evolve(game, generator=G, discriminator=D)
        for player in _players(game):
            for name, tensor in _tensors(player.network).items():
                if tensor is not networks[player.role][name]:
                    raise UntraceableError(f"the {player.role} puts another tensor in the place of its {name}")


def _at(player: Player, clock: Tensor) -> Player:
    contexts = [attrs.evolve(regularizer.context, step=clock) for regularizer in player.regularizers]
    regularizers = zip(player.regularizers, contexts, strict=True)
    return attrs.evolve(
        player,
        regularizers=tuple(attrs.evolve(regularizer, context=context) for regularizer, context in regularizers),
        compiled=None,
    )


@contextmanager
def _undone(game: Game, device: torch.device) -> Iterator[None]:
    """Random streams and tensors of components are afterwards what they were."""
    components = [game.loss, *(r.component for player in _players(game) for r in player.regularizers)]
    own = [t for c in components if hasattr(c, "state_dict") for t in tensors_in(c.state_dict())]
    values = [tensor.clone() for tensor in own]
    streams = [r.context.rng for player in _players(game) for r in player.regularizers]
    states = [stream.get_state() for stream in streams]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            for stream, state in zip(streams, states, strict=True):
                stream.set_state(state)
            for tensor, value in zip(own, values, strict=True):
                tensor.copy_(value)


def tensors_in(tree: Any) -> list[Tensor]:
    """Those of a state: a tree of dictionaries and lists."""
    if isinstance(tree, Tensor):
        return [tree]
    if hasattr(tree, "values"):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return []
    return [tensor for part in tree for tensor in tensors_in(part)]


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def objects_of(game: Game) -> Iterator[tuple[str, Any]]:
    """Those that are asked in a phase, by what the user knows them by."""
    yield "the loss", game.loss
    for player in _players(game):
        yield f"the {player.role}", player.network
        yield from ((f"{regularizer.key!r}", regularizer.component) for regularizer in player.regularizers)


def _players(game: Game) -> tuple[Player, Player]:
    return game.generator, game.discriminator


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}
