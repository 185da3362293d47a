"""Image data sets for gancore."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_datasets() -> Iterable[Component]:
    return [
        Component("mnist", "gancore_images.mnist:Mnist", "70,000 grey handwritten digits of 28x28 pixels."),
        Component("fashion-mnist", "gancore_images.fashion_mnist:FashionMnist", "70,000 grey garments, 28x28."),
        Component("cifar10", "gancore_images.cifar10:Cifar10", "60,000 colour photographs of 32x32 pixels."),
        Component("image-folder", "gancore_images.image_folder:ImageFolder", "Any folder of pictures."),
    ]
