"""The back-propagated signal at every layer of a network.

Measured at the layers' outputs (pre-activations): gradients of weights can look even over depth while the signal itself
vanishes (Glorot & Bengio 2010, equation 14).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

SMALL = 65_536  # numbers that are cheap to convert
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
        self._norms: dict[str, Tensor] = {}
        self._sizes: dict[str, int] = {}
        self._scales: dict[str, float] = {}
        self._moved: dict[str, Tensor] = {}
        self._inputs: dict[str, list[Tensor]] = {}
        self._met: list[str] = []

    @property
    def names(self) -> list[str]:
        """Those that a signal has reached, in the order of the forward pass."""
        return [name for name in self._met if name in self._norms]

    def rms(self, name: str) -> Tensor:
        """Root mean square over batch and units, of the gradient times N: a mean loss divides by N."""
        return self._norms[name] * self.scale(name)

    def norm(self, name: str) -> Tensor:
        """Always float64, so that layers stay together, in their order."""
        return self._norms[name]

    def scale(self, name: str) -> float:
        """What makes an rms of a norm."""
        return self._scales[name]

    def moved(self, name: str) -> Tensor:
        """For every channel, the largest signal of any sample and place."""
        return self._moved[name]

    def features(self) -> tuple[Tensor, Tensor] | None:
        """What went into the last layer: reals, then fakes, in one call or in two."""
        inputs = self._inputs[self._met[-1]] if self._met else []
        n = self._samples or (len(inputs[0]) if inputs else 0)
        if not inputs or sum(map(len, inputs)) < 2 * n:
            return None
        rows = torch.cat(inputs)
        return rows[:n], rows[n : 2 * n]

    def copied(self) -> "Layers":
        """What was heard, apart from what these layers will hear."""
        copy = Layers(nn.Module(), self._listening, channels=self.channels, layers=self._layers)
        copy.give(self.taken())
        copy._norms = {name: value.clone() for name, value in self._norms.items()}
        copy._moved = {name: value.clone() for name, value in self._moved.items()}
        return copy

    def taken(self) -> dict[str, Any]:
        """What was heard."""
        return {"met": self.names, "norms": self._norms, "scales": self._scales, "moved": self._moved}

    def give(self, taken: Mapping[str, Any]) -> None:
        """What was heard elsewhere by layers like these."""
        self._met, self._norms = list(taken["met"]), dict(taken["norms"])
        self._scales, self._moved = dict(taken["scales"]), dict(taken["moved"])

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
            if name not in self._inputs:
                self._met.append(name)
                self._inputs[name] = []
            if self.channels and inputs and isinstance(inputs[0], Tensor):
                self._inputs[name].append(inputs[0].detach())
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(lambda gradient: self._heard(name, gradient, channel))  # type: ignore[no-untyped-call]

        return called

    def _heard(self, name: str, gradient: Tensor, channel: int) -> None:
        if not self._listening():
            return
        g = gradient.detach()
        # Squares of 1e-20 are 0 in float32; to convert a large tensor would cost more than that is worth.
        small = g.numel() <= SMALL
        norm = torch.linalg.vector_norm(g, dtype=torch.float64) if small else torch.linalg.vector_norm(g).double()
        size = g.numel()
        if name in self._norms:  # of another call in the same phase: reals, then fakes
            norm = torch.hypot(norm, self._norms[name])
            size += self._sizes[name]
        self._norms[name], self._sizes[name] = norm, size
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
