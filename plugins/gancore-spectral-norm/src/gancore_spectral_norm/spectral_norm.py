"""Spectral normalization (Miyato et al. 2018, arXiv:1802.05957)."""

from typing import Literal

from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

from gancore import ComponentError, component, ge, gt, option

LAYERS = (
    nn.Linear,
    nn.Embedding,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@component
class SpectralNorm:
    """Spectral normalization (Miyato et al. 2018, arXiv:1802.05957, equation 8 and algorithm 1).

        W <- W / sigma(W),   sigma: the largest singular value of W as a matrix (outputs, everything else)

    For every linear, convolutional, transposed convolutional and embedding layer; embeddings because
    projection discriminators normalise theirs (Miyato & Koyama 2018, arXiv:1802.05637). sigma is estimated
    by power iterations that continue from forward to forward in training mode and rest in eval mode; a new
    layer starts with 15 of them. Of a convolution it is the norm of the kernel as a matrix, not that of the
    convolution.

    The generator too: SAGAN (Zhang et al. 2018, arXiv:1805.08318, section 4.1).
    """

    on: Literal["discriminator", "generator", "both"] = option("discriminator", "The networks it is for.")
    iterations: int = option(1, "Power iterations per forward in training mode.", ge(1))
    eps: float = option(1e-12, "Least norm when singular vectors are normalised.", gt(0))

    def network_built(self, network: nn.Module) -> nn.Module:
        """Normalise the network's layers in place.

        Raises:
            gancore.ComponentError: there is no such layer, or one whose weight is parametrized or all zero.
        """
        layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, LAYERS)]
        if not layers:
            raise ComponentError(
                f"spectral-norm: {type(network).__name__} has no linear, convolutional or embedding layer to "
                "normalise. Remove the regularizer or choose another model."
            )
        for name, layer in layers:
            place = f"layer {name!r} of {type(network).__name__}"
            if is_parametrized(layer, "weight"):
                raise ComponentError(
                    f"spectral-norm: the weight of {place} is parametrized already, by the model or by a "
                    "second spectral-norm table. Remove the regularizer."
                )
            if not layer.weight.is_meta and not layer.weight.any():
                raise ComponentError(
                    f"spectral-norm: the weight of {place} is all zero, so that W / sigma(W) is 0 / 0. "
                    "Remove the regularizer or choose another model."
                )
            parametrizations.spectral_norm(layer, n_power_iterations=self.iterations, eps=self.eps)
        return network
