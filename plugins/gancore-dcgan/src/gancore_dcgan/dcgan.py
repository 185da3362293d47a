"""DCGAN (Radford et al. 2015, arXiv:1511.06434)."""

from typing import Literal

from torch import nn

from gancore import ComponentError, DataSpec, component, ge, option
from gancore_dcgan.initialisation import initialise
from gancore_dcgan.networks import Discriminator, Generator, Norm


@component
class Dcgan:
    """DCGAN (Radford et al. 2015, arXiv:1511.06434, section 3 and figure 1) for square images from 16 pixels.

        G:  z [, e(y)] -> 4 x 4 -> 8 x 8 -> ... -> size x size, tanh
        D:  x -> size / 2 -> ... -> 4 x 4 -> 1  [+ <e(y), sum over 4 x 4>]

    Each arrow is a 4 x 4 (transposed) convolution, of stride 2 but to and from one pixel. Channels double
    from `width` at size / 2 towards 4 x 4, up to 8 times `width`; figure 1 is width = 128 at 64 x 64. ReLU in
    G, LeakyReLU of slope 0.2 in D. No norm on G's last and D's first layer.

    Conditional: G appends a learned embedding e(y) to z (Mirza & Osindero 2014, arXiv:1411.1784); D adds the
    projection of its last features onto one of its own (Miyato & Koyama 2018, arXiv:1802.05637, equation 3).
    """

    latent_dim: int = option(100, "Numbers in a latent z.", ge(1))
    width: int = option(64, "Channels at half the size; doubling down to 4 x 4, up to 8 times.", ge(1))
    generator_norm: Literal["none", "batch"] = option("batch", "Normalisation in G.")
    discriminator_norm: Norm = option(
        "batch", "Normalisation in D; layer is over channels and pixels. No batch norm with penalties."
    )
    conditional: bool = option(False, "Use the labels.")
    embedding_dim: int = option(16, "Numbers in G's embedding of a label, where conditional.", ge(1))

    @property
    def mixes_samples(self) -> bool:
        return self.discriminator_norm == "batch"

    def generator(self, data: DataSpec) -> nn.Module:
        channels, size = _image(data)
        classes = self._classes(data)
        network = Generator(
            self.latent_dim, self.width, channels, size, self.generator_norm, classes, self.embedding_dim
        )
        return initialise(network)

    def discriminator(self, data: DataSpec) -> nn.Module:
        channels, size = _image(data)
        return initialise(Discriminator(self.width, channels, size, self.discriminator_norm, self._classes(data)))

    def _classes(self, data: DataSpec) -> int:
        """Classes the networks know of; 0 where they ignore labels."""
        if self.conditional and not data.classes:
            raise ComponentError(
                "dcgan: conditional = true needs labels, but the data have none: "
                "choose labelled data under [data], or set conditional = false under [model]"
            )
        return data.classes if self.conditional else 0


def _image(data: DataSpec) -> tuple[int, int]:
    """Channels and size of images that DCGAN can make."""
    makes = "dcgan makes square images of 16, 32, 64, ... pixels with 1 to 4 channels"
    if not data.is_image:
        raise ComponentError(f'{makes}, not vectors of shape {data.shape}: set name = "mlp" under [model]')
    channels, height, width = data.shape
    if not 1 <= channels <= 4:
        raise ComponentError(f"{makes}, not {channels} channels: choose other data under [data]")
    larger = max(height, width)
    if height != width or larger < 16 or larger & (larger - 1):
        size = max(16, 1 << (larger - 1).bit_length())
        raise ComponentError(
            f"{makes}, not {height} x {width}: set size = {size} under [data] if the data have that option, "
            'or name = "mlp" under [model]'
        )
    return channels, height
