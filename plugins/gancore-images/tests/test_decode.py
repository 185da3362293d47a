"""Decoding one image: geometry, modes, orientation, and what is refused."""

import warnings

import pytest
import torch
from PIL import Image

from gancore import DataError
from gancore_images.decode import decode

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


@pytest.fixture
def file(tmp_path):
    """Saves an image and gives its path."""

    def save(image, name="image.png", **how):
        image.save(tmp_path / name, **how)
        return str(tmp_path / name)

    return save


def pixel(tensor, y=0, x=0):
    return tuple(tensor[:, y, x].tolist())


def picture(width, height):
    """Every pixel differs: red counts columns, green rows."""
    image = Image.new("RGB", (width, height))
    for x in range(width):
        for y in range(height):
            image.putpixel((x, y), (x, y, 50))
    return image


# --------------------------------------------------------------------------------------------------- geometry


def test_image_of_the_right_size_comes_through_unchanged(file):
    tensor = decode(file(picture(8, 8)), 8, "rgb")
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == ((3, 8, 8), torch.uint8, True)
    assert tensor[0].tolist() == [list(range(8))] * 8
    assert tensor[1].tolist() == [[y] * 8 for y in range(8)]


@pytest.mark.parametrize(
    ("width", "height", "corner"),
    [(12, 8, (2, 0)), (8, 12, (0, 2)), (11, 8, (1, 0))],
    ids=["wide", "high", "odd"],
)
def test_longer_side_is_cut_to_its_middle(file, width, height, corner):
    tensor = decode(file(picture(width, height)), 8, "rgb")
    assert pixel(tensor)[:2] == corner
    assert pixel(tensor, 7, 7)[:2] == (corner[0] + 7, corner[1] + 7)


def test_same_as_resizing_the_shorter_side_and_cutting_the_centre(file):
    noise = torch.randint(64, 192, (60 * 40 * 3,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image = Image.frombytes("RGB", (60, 40), bytes(noise.tolist()))
    expected = image.resize((24, 16), Image.Resampling.LANCZOS).crop((4, 0, 20, 16))
    tensor = decode(file(image), 16, "rgb")
    reference = torch.tensor(list(expected.tobytes())).view(16, 16, 3).permute(2, 0, 1)
    assert (tensor - reference).abs().max() <= 1


def test_shrinking_is_antialiased(file):
    board = Image.new("L", (64, 64))
    board.putdata([255 * ((x + y) % 2) for y in range(64) for x in range(64)])
    tensor = decode(file(board), 8, "grayscale")
    assert (tensor.float() - 127.5).abs().max() <= 2


def test_small_images_are_enlarged(file):
    tensor = decode(file(Image.new("RGB", (3, 5), RED)), 16, "rgb")
    assert torch.equal(tensor, torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1).expand(3, 16, 16))


def test_a_line_of_pixels_is_an_image_too(file):
    assert decode(file(Image.new("RGB", (3000, 1), BLUE)), 64, "rgb").shape == (3, 64, 64)


def test_large_jpeg_decoded_at_reduced_size_looks_the_same(file):
    steps = Image.linear_gradient("L").resize((1024, 768)).convert("RGB")
    path = file(steps, "large.jpg", quality=95)
    with Image.open(path) as image:
        full = image.convert("RGB")
    full = full.resize((32, 32), Image.Resampling.LANCZOS, box=(128, 0, 896, 768))
    reference = torch.tensor(list(full.tobytes())).view(32, 32, 3).permute(2, 0, 1)
    assert (decode(path, 32, "rgb") - reference).abs().max() <= 2


# ------------------------------------------------------------------------------------------------------ modes


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "bmp", "gif", "tif"])
def test_every_format_decodes(file, form):
    tensor = decode(file(Image.new("RGB", (8, 8), WHITE), f"image.{form}"), 8, "rgb")
    assert torch.equal(tensor, torch.full((3, 8, 8), 255, dtype=torch.uint8))


def test_extension_does_not_have_to_be_right(file, tmp_path):
    path = file(Image.new("RGB", (8, 8), RED))
    (tmp_path / "liar.jpg").write_bytes((tmp_path / "image.png").read_bytes())
    assert torch.equal(decode(str(tmp_path / "liar.jpg"), 8, "rgb"), decode(path, 8, "rgb"))


def test_grey_becomes_three_equal_channels(file):
    assert pixel(decode(file(Image.new("L", (4, 4), 90)), 4, "rgb")) == (90, 90, 90)


def test_colour_becomes_luminance(file):
    # ITU-R 601: 0.299 of 255.
    tensor = decode(file(Image.new("RGB", (4, 4), RED)), 4, "grayscale")
    assert tensor.shape == (1, 4, 4)
    assert pixel(tensor) == (76,)


def test_black_and_white_of_one_bit(file):
    assert pixel(decode(file(Image.new("1", (4, 4), 1)), 4, "grayscale")) == (255,)


def test_cmyk(file):
    image = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    assert pixel(decode(file(image, "image.tif"), 4, "rgb")) == RED


def test_palette(file):
    image = Image.new("RGB", (4, 4), GREEN).quantize(4)
    assert image.mode == "P"
    assert pixel(decode(file(image), 4, "rgb")) == GREEN


@pytest.mark.parametrize(("stored", "expected"), [(0, 0), (257, 1), (32768, 128), (65535, 255), (300, 1), (400, 2)])
def test_sixteen_bits_become_eight_by_rounding(file, stored, expected):
    path = file(Image.new("I;16", (4, 4), stored))
    with Image.open(path) as image:
        assert image.mode.startswith("I")
    assert pixel(decode(path, 4, "grayscale")) == (expected,)
    assert pixel(decode(path, 4, "rgb")) == (expected,) * 3


@pytest.mark.parametrize(
    ("alpha", "expected"), [(255, RED), (0, WHITE), (51, (255, 204, 204))], ids=["opaque", "clear", "a fifth"]
)
def test_transparency_lies_over_white(file, alpha, expected):
    assert pixel(decode(file(Image.new("RGBA", (4, 4), (*RED, alpha))), 4, "rgb")) == expected


def test_grey_with_transparency(file):
    assert pixel(decode(file(Image.new("LA", (4, 4), (0, 0))), 4, "grayscale")) == (255,)


def test_transparent_colour_of_a_palette(file):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((3, 3), 1)
    tensor = decode(file(image, transparency=0), 4, "rgb")
    assert (pixel(tensor, 0, 0), pixel(tensor, 3, 3)) == (WHITE, RED)


def test_transparent_colour_without_a_palette(file):
    image = Image.new("RGB", (4, 4), BLACK)
    image.putpixel((3, 3), BLUE)
    tensor = decode(file(image, transparency=BLACK), 4, "rgb")
    assert (pixel(tensor, 0, 0), pixel(tensor, 3, 3)) == (WHITE, BLUE)


def test_animation_gives_its_first_frame(file):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (BLUE, RED)]
    path = file(frames[0], "image.gif", save_all=True, append_images=frames[1:])
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert pixel(decode(path, 4, "rgb")) == BLUE


# ------------------------------------------------------------------------------------------------ orientation

# Where the corner stored at the upper left belongs, as (row, column) of a 4x4 image (EXIF 2.32, tag 0x0112).
CORNERS = {1: (0, 0), 2: (0, 3), 3: (3, 3), 4: (3, 0), 5: (0, 0), 6: (0, 3), 7: (3, 3), 8: (3, 0)}
# And the one stored at the upper right.
SECOND = {1: (0, 3), 2: (0, 0), 3: (3, 0), 4: (3, 3), 5: (3, 0), 6: (3, 3), 7: (0, 3), 8: (0, 0)}


@pytest.mark.parametrize("name", ["image.png", "image.tif", "image.webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(file, orientation, name):
    image = Image.new("RGB", (4, 4), BLACK)
    image.putpixel((0, 0), RED)
    image.putpixel((3, 0), GREEN)
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if name.endswith("webp") else {}
    tensor = decode(file(image, name, exif=exif, **how), 4, "rgb")
    assert pixel(tensor, *CORNERS[orientation]) == RED
    assert pixel(tensor, *SECOND[orientation]) == GREEN


def test_jpeg_lying_on_its_side_is_cut_after_turning(file):
    # Stored 12 wide and 4 high; upright it is 4 wide and 12 high, and the middle third is blue.
    image = Image.new("RGB", (48, 16), RED)
    image.paste(BLUE, (16, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    tensor = decode(file(image, "image.jpg", exif=exif, quality=100, subsampling=0), 16, "rgb").int()
    blue = torch.tensor(BLUE).view(3, 1, 1)
    assert (tensor - blue).abs().max() <= 3


# ----------------------------------------------------------------------------------------------------- damage


def test_truncated_file_is_named(tmp_path, file):
    noise = torch.randint(0, 256, (32 * 32,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    path = file(Image.frombytes("L", (32, 32), bytes(noise.tolist())), "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.png: cannot be decoded .*take it out of the folder"):
        decode(path, 8, "rgb")


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40], ids=["empty", "text", "header"]
)
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png: cannot be decoded"):
        decode(str(tmp_path / "broken.png"), 8, "rgb")


def test_file_that_has_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: cannot be decoded"):
        decode(str(tmp_path / "gone.png"), 8, "rgb")


def test_formats_that_are_not_offered_are_not_opened_under_another_name(file, tmp_path):
    path = file(Image.new("RGB", (8, 8)), "image.pcx")
    (tmp_path / "image.pcx").rename(tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as image:
        assert image.format == "PCX"
    with pytest.raises(DataError, match="cannot be decoded"):
        decode(path.replace("pcx", "png"), 8, "rgb")


@pytest.mark.parametrize("limit", [40, 99], ids=["an error of Pillow's", "a warning of Pillow's"])
def test_more_pixels_than_the_limit_are_refused(file, monkeypatch, limit):
    path = file(Image.new("L", (10, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=rf"image\.png: more pixels than PIL\.Image\.MAX_IMAGE_PIXELS = {limit}"):
        decode(path, 8, "rgb")


def test_exactly_the_limit_is_allowed(file, monkeypatch):
    path = file(Image.new("L", (10, 10)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(path, 8, "rgb").shape == (3, 8, 8)


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70_000), ("I", -1)])
def test_pixels_without_a_scale_are_refused(file, mode, value):
    with pytest.raises(DataError, match=r"image\.tif: .*no agreed range; convert it"):
        decode(file(Image.new(mode, (4, 4), value), "image.tif"), 4, "rgb")


def test_warnings_of_pillow_stay_inside(file):
    # An EXIF block that announces more entries than it has.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0"
    path = file(Image.new("RGB", (8, 8), WHITE), "image.jpg", exif=exif)
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(path) as image:
        image.getexif()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert decode(path, 8, "rgb").shape == (3, 8, 8)
    assert seen == []
