"""Initial weights of linear layers."""

from typing import Literal, TypeVar

from torch import nn
from torch.nn import init

from gancore_mlp.networks import SLOPE, Activation

Init = Literal["default", "he", "xavier", "orthogonal", "normal"]

N = TypeVar("N", bound=nn.Module)


def initialise(network: N, scheme: Init, activation: Activation) -> N:
    """Set all linear layers' weights by `scheme` and their biases to 0, in place; `default` changes nothing.

        he          N(0, gain^2 / fan_in)                    He et al. 2015, arXiv:1502.01852, equation 10
        xavier      U(-b, b), b^2 = 6 gain^2 / (fan_in + fan_out)      Glorot & Bengio 2010, equation 16
        orthogonal  gain times orthonormal rows or columns          Saxe et al. 2013, arXiv:1312.6120
        normal      N(0, 0.02^2)                             Radford et al. 2015, arXiv:1511.06434

    All layers have the same gain, the first and the last too, as in He et al. (section 2.2). Embeddings,
    norms and the slope of prelu keep torch's values.
    """
    if scheme == "default":
        return network
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            match scheme:
                case "he":
                    init.normal_(layer.weight, std=gain(activation) / layer.in_features**0.5)
                case "xavier":
                    init.xavier_uniform_(layer.weight, gain(activation))
                case "orthogonal":
                    init.orthogonal_(layer.weight, gain(activation))
                case "normal":
                    init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                init.zeros_(layer.bias)
    return network


def gain(activation: Activation) -> float:
    """What makes up for the activation's shrinking of the signal, by `torch.nn.init.calculate_gain`.

    prelu counts as a leaky ReLU with the slope it starts from (0.25), elu, unknown to torch, as a ReLU.
    """
    match activation:
        case "leaky-relu":
            return init.calculate_gain("leaky_relu", SLOPE)
        case "prelu":
            return init.calculate_gain("leaky_relu", 0.25)
        case "elu":
            return init.calculate_gain("relu")
        case _:
            return init.calculate_gain(activation)
