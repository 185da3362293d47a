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
    """All that a phase may write to, as it is now: weights, statistics, moments, states of components, streams, and
    what it is played with."""

    def __init__(self, game: Game, default: torch.Generator, drawn: Sequence[Tensor]) -> None:
        self._game, self.streams, self._default = game, streams_of(game), default
        self._players = list(map(id, _of_players(game)))
        components = [game.loss, *(r.component for p in (game.generator, game.discriminator) for r in p.regularizers)]
        own = (tensor for component in components for tensor in _own(component))
        self._tensors = [tensor.detach() for tensor in (*_of_players(game), *own, *drawn)]
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

    def moved(self, expected: Sequence[Tensor]) -> list[bool]:
        """Which of the tensors are expected to change."""
        pairs = zip(self._before, expected, strict=True)
        moved: list[bool] = torch.stack([(before != value).any() for before, value in pairs]).tolist()
        return moved

    def differences(self, expected: Sequence[Tensor]) -> list[float]:
        """How far each tensor's change is from the expected one, relative to that; NaN where something became NaN that
        should not have."""
        apart = []
        for now, value, before in zip(self._tensors, expected, self._before, strict=True):
            if now.is_floating_point():
                a, b, c = (tensor.double() for tensor in (now, value, before))
                # A history that is not yet full holds infinity where nothing was written.
                alike = (a == b) | (a.isnan() & b.isnan())
                change, size = (torch.nan_to_num(x, 0.0, 0.0, 0.0).norm() for x in (b - c, b))
                apart.append((a - b).masked_fill(alike, 0.0).norm() / (change + 1e-7 * size + 1e-12))
            else:
                apart.append((now != value).any().double())
        found: list[float] = torch.stack(apart).tolist()
        return found


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
