"""The two phases of a step: one update of D, one update of G. Each draws, differentiates its objective and updates."""

from collections.abc import Callable
from typing import Protocol

from attrs import frozen
from torch.nn.utils import get_total_norm

from gancore.contracts import Loss, Role
from gancore.health.taps import NOTHING, PhaseProbe
from gancore.training.feed import Feed
from gancore.training.latents import Latents
from gancore.training.numbers import Numbers
from gancore.training.objective import Drawn, backward, objective
from gancore.training.places import ANYWHERE, Places
from gancore.training.player import Player
from gancore.training.precision import Precision
from gancore.training.ranks import ALONE, Ranks


class Differentiate(Protocol):
    """Leaves the gradients of a phase's objective at the player's parameters: eagerly, or by a compiled graph."""

    def __call__(
        self, game: "Game", role: Role, drawn: Drawn, index: int, numbers: Numbers, probe: PhaseProbe
    ) -> None: ...

    def heard_by(self, say: Callable[[str], None]) -> None:
        """To whom to say what the user should know."""
        ...


class Eagerly:
    """Operator by operator."""

    def __call__(self, game: "Game", role: Role, drawn: Drawn, index: int, numbers: Numbers, probe: PhaseProbe) -> None:
        player = game.player(role)
        backward(objective(game, role, drawn, index, numbers, probe), player.parameters, probe)

    def heard_by(self, say: Callable[[str], None]) -> None:
        """There is nothing to say."""


EAGER = Eagerly()


class Take(Protocol):
    """Takes a phase with what was drawn for it: step by step, or by replaying a graph."""

    def __call__(
        self,
        game: "Game",
        role: Role,
        drawn: Drawn,
        index: int,
        numbers: Numbers,
        measure: bool,
        probe: PhaseProbe,
        /,
    ) -> None: ...

    def places(self, role: Role) -> tuple[Places, Places]:
        """Where a network's phases want reals, and latents."""
        ...

    def heard_by(self, say: Callable[[str], None]) -> None:
        """To whom to say what the user should know."""
        ...


class Plainly:
    """Differentiates, and updates."""

    def __call__(
        self, game: "Game", role: Role, drawn: Drawn, index: int, numbers: Numbers, measure: bool, probe: PhaseProbe
    ) -> None:
        game.differentiate(game, role, drawn, index, numbers, probe)
        update(game, game.player(role), index, numbers, measure=measure, probe=probe)

    def places(self, role: Role) -> tuple[Places, Places]:
        return ANYWHERE, ANYWHERE

    def heard_by(self, say: Callable[[str], None]) -> None:
        """There is nothing to say."""


PLAINLY = Plainly()


@frozen(eq=False)
class Game:
    """Everything a phase needs.

    Attributes:
        one_pass: reals and fakes go through D together.
        differentiate: how gradients are computed.
        take: how a phase is taken.
    """

    generator: Player
    discriminator: Player
    loss: Loss
    feed: Feed
    latents: Latents
    precision: Precision
    batch_size: int
    ranks: Ranks = ALONE
    one_pass: bool = False
    differentiate: Differentiate = EAGER
    take: Take = PLAINLY

    def player(self, role: Role) -> Player:
        return self.discriminator if role == "discriminator" else self.generator

    def draw(self, role: Role) -> Drawn:
        """The next batch of latents and, where they are needed, of reals."""
        for_reals, for_latents = self.take.places(role)
        needs_real = role == "discriminator" or self.loss.needs_real
        real = self.feed.next(for_reals) if needs_real else (None, None)
        z, fake_labels = self.latents.draw(self.batch_size, for_latents)
        return Drawn(z, fake_labels, *real)


def discriminator_phase(
    game: Game, index: int, numbers: Numbers, *, measure: bool, probe: PhaseProbe = NOTHING
) -> None:
    """Update D once, on fresh reals and fresh fakes. `index` counts D's phases; `measure` adds the gradient's norm."""
    _phase(game, "discriminator", index, numbers, measure, probe)


def generator_phase(game: Game, index: int, numbers: Numbers, *, measure: bool, probe: PhaseProbe = NOTHING) -> None:
    """Update G once, through a D whose parameters are held fixed."""
    _phase(game, "generator", index, numbers, measure, probe)


def _phase(game: Game, role: Role, index: int, numbers: Numbers, measure: bool, probe: PhaseProbe) -> None:
    drawn = game.draw(role)
    if drawn.real is not None:
        probe.given(drawn.real)
    game.take(game, role, drawn, index, numbers, measure, probe)


def update(
    game: Game, player: Player, index: int, numbers: Numbers, *, measure: bool, probe: PhaseProbe = NOTHING
) -> None:
    """What is done with gradients: regularizers change them, one optimizer step, regularizers change parameters."""
    game.ranks.average_gradients(player.parameters)
    if probe is not NOTHING:
        probe.averaged([parameter.grad for parameter in player.parameters])
    lazy = player.lazy_due(index)
    if measure or lazy:  # raw gradients, before any clipping
        norm = get_total_norm([p.grad for p in player.with_gradient() if p.grad is not None])
        # Lazy penalties seldom fall on a measured step, and their gradients are k times as large: a curve of their own.
        numbers.add(f"gradient/{player.role}/lazy" if lazy else f"gradient/{player.role}", norm)
    player.adjust_gradients(numbers)
    probe.before_update(player.parameters)
    player.take_step()
    probe.after_update(player.parameters)
    player.adjust_parameters()
