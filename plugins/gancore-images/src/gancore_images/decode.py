"""One image file to one tensor, whatever camera, scanner or program wrote it."""

import warnings
from typing import Literal, cast

import torch
from PIL import Image
from torch import Tensor

from gancore import DataError

Channels = Literal["rgb", "grayscale"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

ORIENTATION = 0x0112
Turn = Image.Transpose
# EXIF 2.32, tag 0x0112: how the stored pixels have to be turned for viewing; 1 is upright.
TURNS = {
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}


def decode(path: str, size: int, channels: Channels) -> Tensor:
    """The middle square of an image, resampled to `size`: uint8 `(3 or 1, size, size)`.

    The same as resizing the shorter side to `size` (Lanczos, antialiased) and cutting out the centre. EXIF
    orientation is applied, transparency laid over white, the first frame of an animation taken. Pillow's
    warnings stay here.

    Raises:
        DataError: no image, a damaged one, more pixels than `PIL.Image.MAX_IMAGE_PIXELS` or pixels without a
        scale.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return _tensor(_square(image, size, channels))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"{path}: more pixels than PIL.Image.MAX_IMAGE_PIXELS = {Image.MAX_IMAGE_PIXELS} allows; "
            "shrink it or take it out of the folder"
        ) from error
    # Pillow's decoders raise almost anything on damaged files: OSError, SyntaxError, struct.error and more.
    except Exception as error:
        raise DataError(
            f"{path}: cannot be decoded ({str(error) or type(error).__name__}); repair it or take it out of the folder"
        ) from error


def _square(image: Image.Image, size: int, channels: Channels) -> Image.Image:
    # A large JPEG is decoded at a half, a quarter or an eighth, as long as twice the size remains.
    image.draft(None, (2 * size, 2 * size))
    image.load()
    # Read now and not before: Pillow turns TIFF files itself while loading and takes the tag away.
    turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # The middle of a panorama before anything is copied, with what Lanczos (3 lobes) sees beyond its edges.
    beyond = 3 * side // size + 4
    box = (max(0, left - beyond), max(0, top - beyond), left + side + beyond, top + side + beyond)
    box = (*box[:2], min(image.width, box[2]), min(image.height, box[3]))
    if box != (0, 0, *image.size):
        image = image.crop(box)
        left, top = left - box[0], top - box[1]
    image = _opaque(image).convert("RGB" if channels == "rgb" else "L")
    image = image.resize((size, size), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    return image if turn is None else image.transpose(turn)


def _opaque(image: Image.Image) -> Image.Image:
    """Without transparency (laid over white) and with 8 bits per channel."""
    if image.mode.startswith("I"):
        return _eight_bits(image)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range; convert it to 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 grey bits to 8: round(v / 257), which takes 65535 to 255. Pillow itself would clip at 255."""
    wide = image.convert("I")
    # Two numbers, because there is one channel.
    low, high = cast(tuple[int, int], wide.getextrema())
    if low < 0 or high > 65535:
        raise ValueError(f"32-bit pixels from {low} to {high} have no agreed range; convert it to 8 or 16 bits")
    return wide.point(lambda v: v * (1 / 257) + 0.5).convert("L")


def _tensor(image: Image.Image) -> Tensor:
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, -1).permute(2, 0, 1).contiguous()
