"""How much arithmetic a step is, estimated: to choose what would otherwise have to be measured, and so would change
from run to run."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from gancore.contracts import Role

# Floating-point operations a second that one CPU core, and a GPU, make good use of; seconds that a phase costs however
# small it is, operator by operator and as a CUDA graph.
CORE, GPU, PHASE, CAPTURED_PHASE = 5e10, 1e13, 2e-3, 3e-4


class Work(dict[Role, float]):
    """By network, the floating-point operations of a forward pass of one sample: two for each weight and place."""

    @contextmanager
    def counted(self, role: Role, network: nn.Module, samples: int) -> Iterator[None]:
        """Count the pass within."""
        self[role] = 0.0

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            weight = getattr(module, "weight", None)
            if not isinstance(weight, Tensor) or weight.dim() < 2 or not isinstance(output, Tensor) or not inputs:
                return
            transposed = isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
            # A weight is used once at each place of its first dimension's side: outputs, or inputs if transposed.
            places = (inputs[0] if transposed else output).numel() / weight.shape[0]
            self[role] += 2 * weight.numel() * places / samples

        with ExitStack() as stack:
            for module in network.modules():
                if not any(module.children()) or hasattr(module, "parametrizations"):
                    stack.callback(module.register_forward_hook(note).remove)
            yield

    def of_step(self, batch_size: int, n_critic: int, penalties: Mapping[Role, float]) -> float:
        """A backward is twice its forward, a penalty with a second derivative six times. `penalties`: how many each
        network has in a phase, on average."""
        G, D = self.get("generator", 0.0), self.get("discriminator", 0.0)
        of_D = G + 2 * 3 * D + 6 * penalties.get("discriminator", 0.0) * D
        of_G = 3 * G + 2 * D + 6 * penalties.get("generator", 0.0) * (G + D)
        return batch_size * (n_critic * of_D + of_G)
