"""The averaged generator (Karras et al. 2018, arXiv:1710.10196, section 6; ramp-up as in StyleGAN2-ADA,
arXiv:2006.06676)."""

import copy

import torch
from torch import Tensor, nn


class Ema:
    """An exponential moving average of G's parameters, with buffers (batch statistics) copied.

    decay per step = 0.5 ^ (batch / half-life), the half-life in images and, early on, at most `ramp` times the images
    seen.

    Args:
        half_life: images after which a weight's share has halved; 0 keeps a plain copy.
        ramp: in (0, 1].
    """

    def __init__(self, generator: nn.Module, half_life: float, ramp: float, batch_size: int) -> None:
        self._network = copy.deepcopy(generator).eval().requires_grad_(False)
        self._half_life, self._ramp, self._batch_size = half_life, ramp, batch_size
        self._averages: list[Tensor] = list(self._network.parameters())
        self._parameters: list[Tensor] = list(generator.parameters())
        owners = list(zip(self._network.modules(), generator.modules(), strict=True))
        self._buffers = [(mine._buffers, theirs._buffers, name) for mine, theirs in owners for name in theirs._buffers]
        self._late = False  # a plain copy is made when somebody asks for it

    @property
    def network(self) -> nn.Module:
        """The averaged generator, in eval mode. A plain copy is of now: ask again after further steps."""
        if self._late:
            self._late = False
            self._copy()
        return self._network

    def decay(self, step: int) -> float:
        """The decay of the update that ends step `step` (counted from 1)."""
        half_life = min(self._half_life, step * self._batch_size * self._ramp)
        return float(0.5 ** (self._batch_size / half_life)) if half_life > 0 else 0.0

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After step `step` (counted from 1)."""
        if not self._half_life:
            self._late = True
            return
        torch._foreach_lerp_(self._averages, self._parameters, 1 - self.decay(step))
        self._copy_buffers()

    @torch.no_grad()
    def _copy(self) -> None:
        torch._foreach_copy_(self._averages, self._parameters)
        self._copy_buffers()

    def _copy_buffers(self) -> None:
        """Looked up every time: a network may put another tensor in the place of one, or the first. Those of a kind
        together, as on a GPU that is one launch."""
        kinds: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for averages, buffers, name in self._buffers:
            average, buffer = averages[name], buffers[name]
            if buffer is None:
                averages[name] = None
                continue
            if average is None:
                average = averages[name] = torch.empty_like(buffer)
            mine, theirs = kinds.setdefault(buffer.dtype, ([], []))
            mine.append(average)
            theirs.append(buffer)
        for mine, theirs in kinds.values():
            torch._foreach_copy_(mine, theirs)
