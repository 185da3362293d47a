"""The back-propagated signal at every layer of a network.

Measured at the layers' outputs (pre-activations): gradients of weights can look even over depth while the signal itself
vanishes (Glorot & Bengio 2010, equation 14).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.utils.parametrize import is_parametrized

SMALL = 65_536  # numbers that are cheap to convert
EXCLUDED = (nn.Embedding, nn.EmbeddingBag)
CHANNELS_LAST = (nn.Linear, nn.Bilinear)  # (N, ..., C); kernels give (N, C, ...)


class Layers:
    """The layers of one network, as one phase meets them.

    Args:
        layers: `weight_layers` of the network.
        channels: whether to look at every channel, and to keep what goes into the layers, too.
    """

    def __init__(self, layers: Mapping[str, nn.Module], *, channels: bool = True) -> None:
        self._layers, self._channels = layers, channels
        self._samples: int | None = None
        self._met: list[tuple[str, int]] = []  # by edge: the layer, and the dimension of its channels
        self._inputs: dict[str, list[Tensor]] = {}
        self._signals: dict[str, list[Tensor]] = {}
        self._scales: dict[str, float] = {}
        self._moved: dict[str, Tensor] = {}
        self.edges: list[GradientEdge] = []

    def heard(self, gradients: Sequence[Tensor | None]) -> None:
        """What has passed by at the `edges`, one after the other; None where nothing did."""
        for (name, channel), signal in zip(self._met, gradients, strict=True):
            if signal is None:
                continue
            g = signal.detach()
            self._signals.setdefault(name, []).append(g)
            if self._channels:
                places = [d for d in range(g.dim()) if d != channel % g.dim()] if g.dim() > 1 else ()
                moved = g.abs().amax(places)
                before = self._moved.get(name)
                self._moved[name] = moved if before is None else torch.maximum(moved, before)
        for name, signals in self._signals.items():
            size = sum(signal.numel() for signal in signals)  # in one call or in two: reals, then fakes
            self._scales[name] = (self._samples or len(signals[-1])) / size**0.5

    @property
    def names(self) -> list[str]:
        """Those that a signal has reached, in the order of the forward pass."""
        return [name for name in self._inputs if name in self._signals]

    def norms(self) -> list[tuple[str, Tensor]]:
        """Of the signal at each of the layers, over batch and units, with the layer's name: 0-d, float64. A layer that
        was called twice has two."""
        signals = [(name, signal) for name in self.names for signal in self._signals[name]]
        # Squares of 1e-20 are 0 in float32; to convert a large tensor would cost more than that is worth.
        small = [signal for _, signal in signals if signal.numel() <= SMALL]
        large = [signal for _, signal in signals if signal.numel() > SMALL]
        of_small = iter(torch._foreach_norm(small, 2, torch.float64) if small else ())
        of_large = (norm.double() for norm in (torch._foreach_norm(large) if large else ()))
        return [(name, next(of_small if signal.numel() <= SMALL else of_large)) for name, signal in signals]

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
            met = self._inputs.setdefault(name, [])
            if self._channels and inputs and isinstance(inputs[0], Tensor):
                met.append(inputs[0].detach())
            if isinstance(output, Tensor) and output.requires_grad:
                # The edge is that of the layer also where an activation writes into its output.
                self.edges.append(get_gradient_edge(output))
                self._met.append((name, -1 if isinstance(layer, CHANNELS_LAST) else 1))

        return called


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
