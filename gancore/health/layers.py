"""The back-propagated signal at every layer of a network.

Measured at the layers' outputs (pre-activations): gradients of weights can look even over depth while the signal itself
vanishes (Glorot & Bengio 2010, equation 14).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

SMALL = 65_536  # numbers that are cheap to convert, and to keep until the end of the backward pass
EXCLUDED = (nn.Embedding, nn.EmbeddingBag)
CHANNELS_LAST = (nn.Linear, nn.Bilinear)  # (N, ..., C); kernels give (N, C, ...)


class Layers:
    """The layers of one network, as one phase meets them.

    Args:
        listening: whether a gradient that passes by now is one to measure.
        channels: whether to look at every channel, and to keep what goes into the layers, too.
        layers: the network's `weight_layers`, where they are known already.
    """

    def __init__(
        self,
        network: nn.Module,
        listening: Callable[[], bool],
        *,
        channels: bool = True,
        layers: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self._layers = weight_layers(network) if layers is None else layers
        self._listening, self.channels = listening, channels
        self._samples: int | None = None
        self._signals: dict[str, list[Tensor]] = {}  # small ones, whose norms are taken together
        self._norms: dict[str, list[Tensor]] = {}
        self._sizes: dict[str, int] = {}
        self._scales: dict[str, float] = {}
        self._moved: dict[str, Tensor] = {}
        self._inputs: dict[str, list[Tensor]] = {}

    @property
    def names(self) -> list[str]:
        """Those that a signal has reached, in the order of the forward pass."""
        return [name for name in self._inputs if name in self._sizes]

    def norms(self) -> Tensor:
        """Of the signal at each of the layers, over batch and units: `(len(names),)`, float64."""
        small = [(name, signal) for name, signals in self._signals.items() for signal in signals]
        if small:
            # In float64, as squares of 1e-20 are 0 in float32.
            found = torch._foreach_norm([signal for _, signal in small], 2, torch.float64)
            for (name, _), norm in zip(small, found, strict=True):
                self._norms.setdefault(name, []).append(norm)
            self._signals.clear()
        return torch.stack([reduce(torch.hypot, self._norms[name]) for name in self.names])

    def scale(self, name: str) -> float:
        """What makes of a layer's norm the root mean square of the gradient times N: a mean loss divides by N."""
        return self._scales[name]

    def moved(self, name: str) -> Tensor:
        """For every channel, the largest signal of any sample and place."""
        return self._moved[name]

    def features(self) -> tuple[Tensor, Tensor] | None:
        """What went into the last layer: reals, then fakes, in one call or in two."""
        inputs = list(self._inputs.values())[-1] if self._inputs else []
        n = self._samples or (len(inputs[0]) if inputs else 0)
        if not inputs or sum(map(len, inputs)) < 2 * n:
            return None
        rows = torch.cat(inputs)
        return rows[:n], rows[n : 2 * n]

    @contextmanager
    def attached(self, samples: int | None = None) -> Iterator[None]:
        """Around the forward passes. `samples` is N, where a pass is over several times as many; by default a pass is
        over N."""
        self._samples = samples
        handles = [layer.register_forward_hook(self._hook(name)) for name, layer in self._layers.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def called(layer: nn.Module, inputs: Any, output: Any) -> None:
            channel = -1 if isinstance(layer, CHANNELS_LAST) else 1
            met = self._inputs.setdefault(name, [])
            if self.channels and inputs and isinstance(inputs[0], Tensor):
                met.append(inputs[0].detach())
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(lambda gradient: self._heard(name, gradient, channel))  # type: ignore[no-untyped-call]

        return called

    def _heard(self, name: str, gradient: Tensor, channel: int) -> None:
        if not self._listening():
            return
        g = gradient.detach()
        if g.numel() <= SMALL:
            self._signals.setdefault(name, []).append(g)
        else:
            self._norms.setdefault(name, []).append(torch.linalg.vector_norm(g).double())
        size = self._sizes[name] = self._sizes.get(name, 0) + g.numel()  # in one call or in two: reals, then fakes
        self._scales[name] = (self._samples or len(g)) / size**0.5
        if self.channels:
            places = [d for d in range(g.dim()) if d != channel % g.dim()] if g.dim() > 1 else ()
            moved = g.abs().amax(places)
            before = self._moved.get(name)
            self._moved[name] = moved if before is None else torch.maximum(moved, before)


def weight_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Modules with a weight matrix or kernel of their own, also under a parametrization such as spectral norm."""
    found = {}
    for name, module in network.named_modules():
        weight = _stored_weight(module)
        children = [child for key, child in module.named_children() if key != "parametrizations"]
        if isinstance(weight, Tensor) and weight.dim() > 1 and not children and not isinstance(module, EXCLUDED):
            found[name] = module
    return found


def _stored_weight(module: nn.Module) -> Any:
    """The weight, or what it is computed from: computing a parametrized one may change its state (spectral norm)."""
    if is_parametrized(module, "weight"):
        parametrization: Any = module.parametrizations["weight"]  # type: ignore[index]
        return parametrization.original if hasattr(parametrization, "original") else parametrization.original0
    return getattr(module, "weight", None)
