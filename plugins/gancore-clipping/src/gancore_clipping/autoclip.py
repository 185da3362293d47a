"""AutoClip (Seetharaman et al. 2020, arXiv:2007.14469)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import get_total_norm

from gancore import Context, component, ge, gt, le, option, state
from gancore_clipping.by_norm import clip_by_norm


@component
class AutoClip:
    """Gradients clipped to a percentile of their norm's history (Seetharaman et al. 2020, arXiv:2007.14469).

        g <- g min(1, p-th percentile of {||g|| so far, this one included} / ||g||)

    The paper keeps the whole history; here it is the last `window` phases, a ring buffer of fixed size on
    the device. The percentile is linearly interpolated between two norms. A norm that is not finite is
    reported, neither remembered nor clipped.

    Reports `norm`, the total norm before clipping, `limit`, the percentile, and `clipped`, 1 where it
    clipped, else 0.
    """

    on: Literal["discriminator", "generator", "both"] = option("both", "The networks it is for.")
    percentile: float = option(10.0, "p: percentile of the history of norms, in percent.", ge(0), le(100))
    window: int = option(1000, "Phases of the network that are remembered.", gt(0))

    past: dict[str, Tensor] = state(dict)

    @torch.no_grad()
    def gradients_ready(self, parameters: Sequence[Parameter], context: Context) -> Mapping[str, Tensor]:
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        self._remember(norm)
        limit = self._limit()
        return {"norm": norm, "limit": limit, "clipped": clip_by_norm(parameters, limit, norm)}

    def _remember(self, norm: Tensor) -> None:
        if not self.past:
            # Unwritten places hold infinity, so that sorting moves them behind every norm.
            self.past["norms"] = torch.full((self.window,), torch.inf, dtype=norm.dtype, device=norm.device)
            self.past["seen"] = torch.zeros(1, dtype=torch.int64, device=norm.device)
        elif self.past["norms"].device != norm.device:
            # Restored from a checkpoint that was read on another device; happens once.
            self.past.update({name: value.to(norm.device) for name, value in self.past.items()})
        norms, seen = self.past["norms"], self.past["seen"]
        place = seen % self.window
        norms.scatter_(0, place, torch.where(norm.isfinite(), norm, norms.gather(0, place)))
        seen += norm.isfinite()

    def _limit(self) -> Tensor:
        norms = self.past["norms"].sort().values
        rank = (self.past["seen"].clamp(1, self.window) - 1) * (self.percentile / 100)
        below, above = norms.gather(0, rank.floor().long()), norms.gather(0, rank.ceil().long())
        between = torch.lerp(below, above, rank.frac().to(norms.dtype))
        # Two infinities (nothing finite seen yet) would interpolate to NaN.
        return torch.where(below.isfinite(), between, below).squeeze()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.past)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if name in self.past:
                self.past[name].copy_(value)
            else:
                self.past[name] = value.clone()
