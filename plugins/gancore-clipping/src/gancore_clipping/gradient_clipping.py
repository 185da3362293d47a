"""Gradient clipping by total norm, by value, or adaptively per unit: one component, three rules."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from attrs.validators import optional
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import get_total_norm

from gancore import Context, component, gt, option
from gancore_clipping.adaptive import clip_adaptively
from gancore_clipping.by_norm import clip_by_norm
from gancore_clipping.by_value import clip_by_value

RULES = {"norm": (clip_by_norm, 1.0), "value": (clip_by_value, 0.01), "adaptive": (clip_adaptively, 0.01)}


@component
class GradientClipping:
    """Gradient clipping by one of three rules.

        norm      g <- g min(1, limit / ||all gradients||)
        value     g <- clamp(g, -limit, limit)                   per element
        adaptive  g <- g min(1, limit max(||w||, 1e-3) / ||g||)  per unit

    By norm: Pascanu et al. 2013, arXiv:1211.5063, algorithm 1. Adaptively (AGC): Brock et al. 2021,
    arXiv:2102.06171, equation 3; a unit is a row of the weight, see `gancore_clipping.adaptive`.

    Non-finite numbers stay what they are and where they are, and nothing else is scaled by them: limiting an
    infinite gradient, or dividing finite ones by an infinite norm, would hide what happened.

    Reports `norm`, the total norm before clipping, and `clipped`: for `norm` 1 where it clipped and 0 where
    it did not, for `value` the share of elements, for `adaptive` the share of units that it clipped.
    """

    on: Literal["discriminator", "generator", "both"] = option("both", "The networks it is for.")
    by: Literal["norm", "value", "adaptive"] = option("norm", "What is limited: total norm, elements or units.")
    limit: float | None = option(
        None, "Largest norm (if not given: 1.0), element (0.01) or ||g|| / ||w|| (0.01).", optional(gt(0))
    )

    @torch.no_grad()
    def gradients_ready(self, parameters: Sequence[Parameter], context: Context) -> Mapping[str, Tensor]:
        clip, usual = RULES[self.by]
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        return {"norm": norm, "clipped": clip(parameters, usual if self.limit is None else self.limit, norm)}
