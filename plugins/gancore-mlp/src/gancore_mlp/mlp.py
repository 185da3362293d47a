"""The fully connected GAN (Goodfellow et al. 2014, arXiv:1406.2661, section 5)."""

from attrs.validators import deep_iterable, optional
from torch import nn

from gancore import ComponentError, DataSpec, component, ge, option
from gancore_mlp.initialisation import Init, initialise
from gancore_mlp.networks import Activation, Discriminator, Generator, Norm


@component
class Mlp:
    """Fully connected G and D (Goodfellow et al. 2014, arXiv:1406.2661, section 5) for images and vectors.

        G:  z [, e(y)] -> hidden -> prod(shape), in the range of the data
        D:  flattened x [, e(y)] -> hidden, reversed -> 1

    A hidden layer is linear, norm, activation. G ends in tanh, stretched where the range is not (-1, 1), and
    is linear for data without a range. Conditional networks (Mirza & Osindero 2014, arXiv:1411.1784,
    equation 2) append a learned embedding e(y) of the label to their input.
    """

    latent_dim: int = option(64, "Numbers in a latent z.", ge(1))
    hidden: tuple[int, ...] = option((256, 512), "Widths of G's hidden layers, from z on.", deep_iterable(ge(1)))
    discriminator_hidden: tuple[int, ...] | None = option(
        None,
        "Widths of D's hidden layers, from x on; left out: `hidden` reversed.",
        optional(deep_iterable(ge(1))),
    )
    activation: Activation = option("leaky-relu", "After every hidden layer; leaky-relu has slope 0.2.")
    norm: Norm = option("none", "Normalisation in G's hidden layers.")
    discriminator_norm: Norm = option("none", "Normalisation in D's hidden layers; no batch norm with penalties.")
    init: Init = option("default", "Initial weights; default is torch's, normal is N(0, 0.02^2).")
    conditional: bool = option(False, "Use the labels.")
    embedding_dim: int = option(16, "Numbers in the embedding of a label, where conditional.", ge(1))

    @property
    def mixes_samples(self) -> bool:
        return self.discriminator_norm == "batch"

    def generator(self, data: DataSpec) -> nn.Module:
        network = Generator(
            self.latent_dim, self.hidden, data.shape, data.range, self.activation, self.norm,
            self._classes(data), self.embedding_dim,
        )  # fmt: skip
        return initialise(network, self.init, self.activation)

    def discriminator(self, data: DataSpec) -> nn.Module:
        hidden = self.hidden[::-1] if self.discriminator_hidden is None else self.discriminator_hidden
        network = Discriminator(
            data.shape,
            hidden,
            self.activation,
            self.discriminator_norm,
            self._classes(data),
            self.embedding_dim,
        )
        return initialise(network, self.init, self.activation)

    def _classes(self, data: DataSpec) -> int:
        """Classes the networks know of; 0 where they ignore labels."""
        if self.conditional and not data.classes:
            raise ComponentError(
                "mlp: conditional = true needs labels, but the data have none: "
                "choose labelled data under [data], or set conditional = false under [model]"
            )
        return data.classes if self.conditional else 0
