"""The check of graphs: a phase that was traced once trains on like the eager one."""

from typing import Any

import attrs
import torch

from gancore.testing.kit import NotHere, Subject, Violation
from gancore.testing.small_run import CPU, small_game, spec_for
from gancore.training.compiled import Compiled, operator_by_operator
from gancore.training.numbers import Numbers
from gancore.training.phases import Game, discriminator_phase, generator_phase
from gancore.training.streams import stream

STEPS = 4


def a_graph_agrees(subject: Subject) -> None:
    """
    Raises:
        Violation: what the component does changes from step to step in a way that a graph freezes.
        NotHere: it cannot be put into a graph: runs with it are eager, and say why.
    """
    eager, _ = _train(subject, compiled=False)
    in_graph, failed = _train(subject, compiled=True)
    if failed:
        raise NotHere(f"{subject} cannot be compiled or captured; runs with it are eager. {failed[0]}")
    for a, b in zip(eager, in_graph, strict=True):
        if not torch.allclose(a, b, rtol=1e-3, atol=1e-5):
            raise Violation(
                f"{subject}: in a compiled or captured run it goes on as in the first step (difference of weights up "
                f"to {(a - b).abs().max():.2g} after {STEPS} steps). What changes over time has to come from "
                "context.step, or from a tensor that is changed in place, not from Python"
            )


def _train(subject: Subject, *, compiled: bool) -> tuple[list[torch.Tensor], list[str]]:
    """The weights after a few steps, and why phases were not traced."""
    component, clock = subject.create(), torch.zeros(())
    arguments: dict[str, Any] = {
        "model": {"model": component, "spec": spec_for(component) if subject.offer.kind == "model" else None},
        "loss": {"loss": component},
    }.get(subject.offer.kind, {"regularizer": (subject.create, stream(0, "component", CPU))})
    game = small_game(steps=STEPS, **arguments)
    graphs = Compiled(clock, operator_by_operator)
    game = _at(game, clock, graphs if compiled else game.differentiate)
    numbers = Numbers()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a network may draw from it
        for index in range(STEPS):
            discriminator_phase(game, index, numbers, measure=False)
            generator_phase(game, index, numbers, measure=False)
            clock.add_(1)
    players = (game.discriminator, game.generator)
    return [parameter.detach() for player in players for parameter in player.network.parameters()], graphs.failed


def _at(game: Game, clock: torch.Tensor, differentiate: Any) -> Game:
    """The game, all its contexts with one clock that moves on."""
    for player in (game.generator, game.discriminator):
        player.regularizers = tuple(
            attrs.evolve(r, context=attrs.evolve(r.context, step=clock)) for r in player.regularizers
        )
    return attrs.evolve(game, differentiate=differentiate)
