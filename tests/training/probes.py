"""Small networks and regularizers whose every use can be seen."""

from typing import Any

import torch
from attrs import define, field
from torch import Tensor, nn

from gancore import Context, Phase


class TinyG(nn.Module):
    """z (N, 2) -> (N, 2)."""

    latent_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.batches: list[tuple[Tensor, bool]] = []

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        self.batches.append((z, torch.is_grad_enabled()))
        return self.layer(z)


class TinyD(nn.Module):
    """x (N, 2) -> score (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.batches: list[tuple[Tensor, bool]] = []

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        self.batches.append((x, self.layer.weight.requires_grad))
        return self.layer(x).squeeze(1)


@define(eq=False)
class Witness:
    """Has every moment and writes down each call."""

    every: int = 1
    calls: list[str] = field(factory=list)
    name: str = ""
    phases: list[Phase] = field(factory=list)

    def discriminator_inputs(self, x: Tensor, context: Context) -> Tensor:
        self.calls.append(f"{self.name}inputs")
        return x

    def penalty(self, phase: Phase, context: Context) -> Tensor:
        self.calls.append(f"{self.name}penalty")
        self.phases.append(phase)
        weight: Any = next(iter(getattr(phase, phase.role).parameters()))
        return weight.square().sum()

    def gradients_ready(self, parameters: list[nn.Parameter], context: Context) -> dict[str, Tensor]:
        self.calls.append(f"{self.name}gradients")
        return {"seen": torch.tensor(float(len(parameters)))}

    def parameters_updated(self, parameters: list[nn.Parameter], context: Context) -> None:
        self.calls.append(f"{self.name}updated")
