"""The two phases of a step: one update of D, one update of G (Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1).

No line here waits for the device, branches on a tensor's value or changes a shape. What is host work (which reals come
next) is the feed's.
"""

import torch
from attrs import frozen
from torch import Tensor
from torch.nn.utils import get_total_norm

from gancore.contracts import Loss, Phase
from gancore.health.probe import NOTHING, PhaseProbe
from gancore.training.feed import Feed
from gancore.training.latents import Latents
from gancore.training.numbers import Numbers
from gancore.training.player import Player
from gancore.training.precision import Precision
from gancore.training.ranks import ALONE, Ranks


@frozen(eq=False)
class Game:
    """Everything a phase needs."""

    generator: Player
    discriminator: Player
    loss: Loss
    feed: Feed
    latents: Latents
    precision: Precision
    batch_size: int
    ranks: Ranks = ALONE


def discriminator_phase(
    game: Game, index: int, numbers: Numbers, *, measure: bool, probe: PhaseProbe = NOTHING
) -> None:
    """Update D once, on fresh reals and fresh fakes. `index` counts D's phases; `measure` adds the gradient's norm."""
    G, D = game.generator, game.discriminator
    real, real_labels = game.feed.next()
    probe.given(real)
    z, fake_labels = game.latents.draw(game.batch_size)
    with torch.no_grad(), game.precision.autocast(), probe.passing(G.network):
        fake = G.network(z, fake_labels).float()
    drawn = real, fake
    real, fake = D.shown(real), D.shown(fake)
    with game.precision.autocast(), probe.watching(D.network):
        real_score, fake_score = D.network(real, real_labels).float(), D.network(fake, fake_labels).float()
    probe.scored(real_score)
    probe.scored(fake_score)
    probe.compared(D.network, drawn, (real_score, fake_score), (real_labels, fake_labels))
    loss = game.loss.discriminator(real_score, fake_score)
    numbers.add("loss/discriminator", loss)
    numbers.add("score/real", real_score.mean())
    numbers.add("score/fake", fake_score.mean())
    phase = Phase(
        role="discriminator", generator=G.network, discriminator=D.network, z=z,
        fake=fake, fake_score=fake_score, fake_labels=fake_labels,
        real=real, real_score=real_score, real_labels=real_labels,
    )  # fmt: skip
    _update(game, D, loss, phase, index, numbers, measure=measure, probe=probe)


def generator_phase(game: Game, index: int, numbers: Numbers, *, measure: bool, probe: PhaseProbe = NOTHING) -> None:
    """Update G once, through a D whose parameters are held fixed."""
    G, D = game.generator, game.discriminator
    z, fake_labels = game.latents.draw(game.batch_size)
    with D.frozen():
        real = real_labels = real_score = None
        if game.loss.needs_real:
            real, real_labels = game.feed.next()
            probe.given(real)
            real = D.shown(real)
        with game.precision.autocast():
            with probe.watching(G.network):
                made = G.network(z, fake_labels).float()
            if real is not None:
                with probe.passing(D.network):
                    real_score = D.network(real, real_labels).float()
        fake = D.shown(made)
        with game.precision.autocast(), probe.passing(D.network):
            fake_score = D.network(fake, fake_labels).float()
        probe.scored(fake_score, made)
        loss = game.loss.generator(real_score, fake_score)
        numbers.add("loss/generator", loss)
        phase = Phase(
            role="generator", generator=G.network, discriminator=D.network, z=z,
            fake=fake, fake_score=fake_score, fake_labels=fake_labels,
            real=real, real_score=real_score, real_labels=real_labels,
        )  # fmt: skip
        _update(game, G, loss, phase, index, numbers, measure=measure, probe=probe)


def _update(
    game: Game,
    player: Player,
    loss: Tensor,
    phase: Phase,
    index: int,
    numbers: Numbers,
    *,
    measure: bool,
    probe: PhaseProbe,
) -> None:
    """The rest of a phase: penalties, one backward, what regularizers do to gradients, one optimizer step, what they
    do after."""
    penalties = player.penalties(phase, index, numbers)
    probe.summed(loss, penalties, player.parameters)
    for penalty in penalties.values():
        loss = loss + penalty
    player.optimizer.zero_grad(set_to_none=True)
    with probe.backward():
        loss.backward()  # type: ignore[no-untyped-call]
    game.ranks.average_gradients(player.parameters)
    probe.gradients(player.parameters)
    lazy = player.lazy_due(index)
    if measure or lazy:  # raw gradients, before any clipping
        norm = get_total_norm([p.grad for p in player.with_gradient() if p.grad is not None])
        # Lazy penalties seldom fall on a measured step, and their gradients are k times as large: a curve of their own.
        numbers.add(f"gradient/{player.role}/lazy" if lazy else f"gradient/{player.role}", norm)
    player.adjust_gradients(numbers)
    probe.before_update(player.parameters)
    player.optimizer.step()
    probe.after_update(player.parameters)
    with torch.no_grad():
        player.adjust_parameters()
