"""Whether torch's fused update, one kernel for all parameters, can take these."""

from collections.abc import Sequence

from torch import Tensor


def fused(parameters: Sequence[Tensor]) -> bool | None:
    """For an optimizer's option `fused`: None leaves the choice to torch, for devices that have no such kernel."""
    return True if all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters) else None
