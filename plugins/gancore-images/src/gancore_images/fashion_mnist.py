"""Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747)."""

from typing import ClassVar

import torchvision.datasets

from gancore import component, option
from gancore_images.mnist import Mnist


@component
class FashionMnist(Mnist):
    """Garments (Xiao et al. 2017, arXiv:1708.07747): MNIST's format and options, harder to make.

    60,000 grey training images of 28x28 pixels and 10,000 for testing; labels 0 to 9 (T-shirt, trousers,
    pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot). Files are looked for in
    `root`/FashionMNIST/raw, unpacked or as the original `.gz`.
    """

    root: str = option("data", "Folder that holds FashionMNIST/raw, or is to.")

    source: ClassVar[type[torchvision.datasets.MNIST]] = torchvision.datasets.FashionMNIST
