"""What a phase minimises: the forward passes of a step (Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1).

Pure tensor code. No line here waits for the device, branches on a tensor's value or changes a shape, so that a phase
can be traced once and compiled, or captured as a CUDA graph. What is host work (which reals come next) is drawn before.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from attrs import frozen
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gancore.contracts import Phase, Role
from gancore.health.taps import NOTHING, PhaseProbe
from gancore.training.numbers import Numbers
from gancore.training.player import Player

if TYPE_CHECKING:
    from gancore.training.phases import Game


@frozen(eq=False)
class Drawn:
    """What a phase is played with.

    Attributes:
        z: `(N, latent_dim)`.
        fake_labels: `(N,)` int64, or None for unlabelled data.
        real, real_labels: as the feed gives them; None in G's phase unless the loss asks for reals there.
    """

    z: Tensor
    fake_labels: Tensor | None
    real: Tensor | None = None
    real_labels: Tensor | None = None


@frozen(eq=False)
class Objective:
    """The scalars that a phase minimises the sum of: the loss, and penalties by their keys."""

    loss: Tensor
    penalties: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        total = self.loss
        for penalty in self.penalties.values():
            total = total + penalty
        return total


def objective(
    game: "Game", role: Role, drawn: Drawn, index: int, numbers: Numbers, probe: PhaseProbe = NOTHING
) -> Objective:
    """Of a player's `index`-th phase."""
    of = _of_discriminator if role == "discriminator" else _of_generator
    return of(game, drawn, index, numbers, probe)


def backward(found: Objective, parameters: Sequence[Tensor], probe: PhaseProbe = NOTHING) -> None:
    """Leave the gradient of the objective at the parameters."""
    probe.summed(found.loss, found.penalties, parameters)
    for parameter in parameters:
        parameter.grad = None
    passed = _listened(probe.edges)
    with probe.backward():
        # Asked for nothing else, it leaves out the gradient at a penalty's points: a sixteenth of an MLP's work.
        found.total.backward(inputs=parameters)  # type: ignore[no-untyped-call]
    if probe is not NOTHING:
        with torch.no_grad():
            probe.gradients(parameters, [parameter.grad for parameter in parameters], passed)


def gradients(found: Objective, parameters: Sequence[Tensor], probe: PhaseProbe = NOTHING) -> list[Tensor | None]:
    """The gradient of the objective by parameter, for a graph that is traced: `backward` without what torch does for
    those who change gradients in place."""
    probe.summed(found.loss, found.penalties, parameters)
    wanted: list[Any] = [*parameters, *probe.edges]
    with probe.backward():
        found_at = torch.autograd.grad(found.total, wanted, allow_unused=True)
    own = [_laid_out(*pair) for pair in zip(found_at, parameters, strict=False)]
    with torch.no_grad():
        probe.gradients(parameters, own, found_at[len(parameters) :])
    return own


def _listened(edges: Sequence[GradientEdge]) -> list[Tensor | None]:
    """What passes by at each of the edges, once there was a backward."""
    passed: list[Tensor | None] = [None] * len(edges)

    def listen(place: int, output: int) -> Callable[[tuple[Tensor, ...]], None]:
        def heard(gradients: tuple[Tensor, ...]) -> None:
            passed[place] = gradients[output]

        return heard

    for place, edge in enumerate(edges):
        edge.node.register_prehook(listen(place, edge.output_nr))
    return passed


def _laid_out(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    """In the order of its parameter in memory: a fused update walks through both as they lie."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_strided(parameter.shape, parameter.stride(), dtype=gradient.dtype, device=gradient.device).copy_(
        gradient
    )


def _of_discriminator(game: "Game", drawn: Drawn, index: int, numbers: Numbers, probe: PhaseProbe) -> Objective:
    """Fresh reals against fresh fakes, which have no history."""
    G, D = game.generator, game.discriminator
    assert drawn.real is not None, "D's phase always has reals"
    with torch.no_grad(), game.precision.autocast(), probe.passing(G.network):
        made = _network(G, probe)(drawn.z, drawn.fake_labels).float()
    real, fake = D.shown(drawn.real), D.shown(made)
    with game.precision.autocast(), probe.watching(D.network, len(real)):
        real_score, fake_score = _scores(game, _network(D, probe), real, fake, drawn)
    probe.scored(real_score)
    probe.scored(fake_score)
    labels = drawn.real_labels, drawn.fake_labels
    probe.compared(D.network, (drawn.real, made), (real_score, fake_score), labels)
    loss = game.loss.discriminator(real_score, fake_score)
    numbers.add("loss/discriminator", loss)
    numbers.add("score/real", real_score.mean())
    numbers.add("score/fake", fake_score.mean())
    phase = Phase(
        role="discriminator", generator=G.network, discriminator=D.network, z=drawn.z,
        fake=fake, fake_score=fake_score, fake_labels=drawn.fake_labels,
        real=real, real_score=real_score, real_labels=drawn.real_labels,
    )  # fmt: skip
    return Objective(loss, D.penalties(phase, index, numbers))


def _of_generator(game: "Game", drawn: Drawn, index: int, numbers: Numbers, probe: PhaseProbe) -> Objective:
    """Through a D whose parameters are held fixed."""
    G, D = game.generator, game.discriminator
    real = real_score = None
    with D.frozen():
        with game.precision.autocast(), probe.watching(G.network, len(drawn.z)):
            made = _network(G, probe)(drawn.z, drawn.fake_labels).float()
        if drawn.real is not None:
            real = D.shown(drawn.real)
            with game.precision.autocast(), probe.passing(D.network):
                real_score = _network(D, probe)(real, drawn.real_labels).float()
        fake = D.shown(made)
        with game.precision.autocast(), probe.passing(D.network):
            fake_score = _network(D, probe)(fake, drawn.fake_labels).float()
        probe.scored(fake_score, made)
        loss = game.loss.generator(real_score, fake_score)
        numbers.add("loss/generator", loss)
        phase = Phase(
            role="generator", generator=G.network, discriminator=D.network, z=drawn.z,
            fake=fake, fake_score=fake_score, fake_labels=drawn.fake_labels,
            real=real, real_score=real_score, real_labels=drawn.real_labels,
        )  # fmt: skip
        return Objective(loss, G.penalties(phase, index, numbers))


def _scores(game: "Game", D: Callable[..., Tensor], real: Tensor, fake: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
    """Of reals and fakes: in one pass, twice as large, where D does not mix samples."""
    if not game.one_pass:
        return D(real, drawn.real_labels).float(), D(fake, drawn.fake_labels).float()
    labels = None
    if drawn.real_labels is not None and drawn.fake_labels is not None:
        labels = torch.cat([drawn.real_labels, drawn.fake_labels])
    scores = D(torch.cat([real, fake]), labels).float()
    return scores[: len(real)], scores[len(real) :]  # a loss may change them in place, parts of a split not


def _network(player: Player, probe: PhaseProbe) -> Callable[..., Tensor]:
    """Taps are put at modules, which a compiled network has no more."""
    return player.network if player.compiled is None or probe is not NOTHING else player.compiled
