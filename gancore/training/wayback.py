"""Back to the state before a phase, and how far another go has come: making a graph plays a phase, and no step is
taken."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gancore.training.phases import Game
from gancore.training.player import Player
from gancore.training.tracing import tensors_in


class WayBack:
    """All that a phase may write to, as it is now: weights, statistics, moments, states of components, streams."""

    def __init__(self, game: Game, default: torch.Generator) -> None:
        self._game, self.streams, self._default = game, streams_of(game), default
        self._players = list(map(id, _of_players(game)))
        components = [game.loss, *(r.component for p in (game.generator, game.discriminator) for r in p.regularizers)]
        self._tensors = [tensor.detach() for tensor in (*_of_players(game), *(t for c in components for t in _own(c)))]
        self._before = [tensor.clone() for tensor in self._tensors]
        self._at = [stream.get_state() for stream in (default, *self.streams)]

    def go(self) -> None:
        for tensor, value in zip(self._tensors, self._before, strict=True):
            tensor.copy_(value)
        for stream, state in zip((self._default, *self.streams), self._at, strict=True):
            stream.set_state(state)

    def now(self) -> list[Tensor]:
        return [tensor.clone() for tensor in self._tensors]

    def same_tensors(self) -> bool:
        """Whether no weight and no moment has been replaced by another tensor."""
        return list(map(id, _of_players(self._game))) == self._players

    def difference(self, expected: Sequence[Tensor]) -> float:
        """How far the changes are from the expected ones, relative to those; NaN where something became NaN
        that should not have."""
        apart = [torch.zeros((), dtype=torch.float64, device=self._tensors[0].device)]
        for now, value, before in zip(self._tensors, expected, self._before, strict=True):
            if now.is_floating_point():
                a, b, c = (tensor.double() for tensor in (now, value, before))
                # A history that is not yet full may hold NaN where nothing was written.
                alike = (a == b) | (a.isnan() & b.isnan())
                change, size = (torch.nan_to_num(x, 0.0, 0.0, 0.0).norm() for x in (b - c, b))
                apart.append((a - b).masked_fill(alike, 0.0).norm() / (change + 1e-7 * size + 1e-12))
            else:
                apart.append((now != value).any().double())
        return float(torch.stack(apart).max())


def _of_players(game: Game) -> list[Tensor]:
    return [
        tensor
        for player in (game.generator, game.discriminator)
        for tensor in (*player.network.parameters(), *player.network.buffers(), *tensors_in(player.optimizer.state))
    ]


def _own(component: Any) -> list[Tensor]:
    return tensors_in(component.state_dict()) if hasattr(component, "state_dict") else []


def streams_of(game: Game) -> list[torch.Generator]:
    players: tuple[Player, ...] = (game.generator, game.discriminator)
    return [regularizer.context.rng for player in players for regularizer in player.regularizers]
