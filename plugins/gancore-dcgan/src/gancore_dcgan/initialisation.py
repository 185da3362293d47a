"""The initial weights of DCGAN."""

from typing import TypeVar

from torch import nn
from torch.nn import init

from gancore_dcgan.networks import Discriminator

N = TypeVar("N", bound=nn.Module)

STD = 0.02


def initialise(network: N) -> N:
    """Weights N(0, 0.02^2) (Radford et al. 2015, arXiv:1511.06434, section 4), biases 0, in place.

    Gains of batch norm N(1, 0.02^2), as in the authors' code; of layer norm 1. D's label embedding, which
    features are projected onto, N(0, 0.02^2); G's, which stands beside z, N(0, 1) as z.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            init.normal_(module.weight, std=STD)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            init.normal_(module.weight, mean=1.0, std=STD)
    if isinstance(network, Discriminator) and network.label is not None:
        init.normal_(network.label.weight, std=STD)
    return network
