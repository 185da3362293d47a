"""Files made to do harm: each is a DataError or not listed, and takes neither much memory nor long."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from io import BytesIO

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gancore import DataError
from gancore_images.decode import decode
from gancore_images.image_folder import ImageFolder

MIB = 1 << 20

# Decodes each file named; prints the peak of memory above what was there before, and the shape or the message. VmHWM
# and not ru_maxrss, which cannot be set back. Only 4 GiB of addresses: a failure here is to harm nobody.
MEASURE = """
import json, resource, sys
from PIL import Image
from gancore import DataError
from gancore_images.decode import decode

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))

Image.init()
most = memory("VmSize") + (4 << 30)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for path in sys.argv[1:]:
    with open("/proc/self/clear_refs", "w") as peak:
        peak.write("5")
    before = memory("VmRSS")
    try:
        outcome = list(decode(path, 16, "rgb").shape)
    except DataError as error:
        outcome = str(error)
    print(json.dumps([memory("VmHWM") - before, outcome]))
"""


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, *before, pixels=b"", depth=8, colour=0, after=()):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(pixels, 9)), *after, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(width, height):
    """Grey, uncompressed, one strip that is not there."""
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)


def gif(width, height):
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"


def gif_with_a_frame_beyond_its_screen(width, height):
    small = gif(8, 8)
    return small.replace(b"," + struct.pack("<HHHH", 0, 0, 8, 8), b"," + struct.pack("<HHHH", 0, 0, width, height))


def bmp(width, height):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


# ------------------------------------------------------------------------------------------------------ bombs


def too_large():
    makers = {"png": png, "tif": tiff, "gif": gif, "frame.gif": gif_with_a_frame_beyond_its_screen, "bmp": bmp}
    return {f"too-large.{name}": make(50_000, 50_000) for name, make in makers.items()}


def text_bombs():
    """Half a gigabyte each, as texts and as a colour profile; and a fifth in many small texts."""
    compressor = zlib.compressobj(9)
    half = b"".join(compressor.compress(bytes(MIB)) for _ in range(512)) + compressor.flush()
    small = bytes(8 * 9)
    return {
        "ztxt.png": png(8, 8, chunk(b"zTXt", b"key\0\0" + half), pixels=small),
        "itxt.png": png(8, 8, chunk(b"iTXt", b"key\0\x01\0\0\0" + half), pixels=small),
        "iccp.png": png(8, 8, chunk(b"iCCP", b"key\0\0" + half), pixels=small),
        "after-the-pixels.png": png(8, 8, pixels=small, after=[chunk(b"zTXt", b"key\0\0" + half)]),
        "many.png": png(8, 8, *[chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(MIB), 9))] * 200, pixels=small),
    }


def allowed():
    """Just within the limit's shapes, of the worst kinds: transparent, and one pixel wide."""
    palette = chunk(b"PLTE", b"\0\0\0\xff\xff\xff"), chunk(b"tRNS", b"\0\x80")
    shapes = {"square.png": (2_000, 2_000), "line.png": (4_000_000, 1), "column.png": (1, 4_000_000)}
    return {
        name: png(w, h, *palette, pixels=bytes(h * (1 + (w + 7) // 8)), depth=1, colour=3)
        for name, (w, h) in shapes.items()
    }


TOO_LARGE, TEXTS, ALLOWED = too_large(), text_bombs(), allowed()
UNPACKED = {"more-than-declared.png": png(8, 8, pixels=bytes(64 * MIB))}


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    """Of every bomb: the peak of memory in bytes, and the shape or the message without the file's name."""
    folder = tmp_path_factory.mktemp("bombs")
    files = {**TOO_LARGE, **TEXTS, **UNPACKED, **ALLOWED}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    command = [sys.executable, "-c", MEASURE, *(str(folder / name) for name in files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = dict(zip(files, map(json.loads, done.stdout.splitlines()), strict=True))
    return {
        name: (peak, said.removeprefix(f"{folder / name}: ") if isinstance(said, str) else said)
        for name, (peak, said) in found.items()
    }


@pytest.mark.parametrize("name", TOO_LARGE)
def test_far_too_many_pixels_are_refused_before_they_take_memory(name, bombs):
    assert len(TOO_LARGE[name]) < 300
    peak, said = bombs[name]
    assert said.startswith("more pixels than PIL.Image.MAX_IMAGE_PIXELS = 89478485 allows")
    assert peak < 5 * MIB


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_unpack_to_half_a_gigabyte_are_refused(name, bombs):
    assert len(TEXTS[name]) < MIB
    peak, said = bombs[name]
    assert said.startswith("cannot be decoded")
    assert peak < 80 * MIB  # Pillow's own limit for all texts of a file is 64 MiB


def test_pixels_that_unpack_to_more_than_declared_are_left_packed(bombs):
    peak, shape = bombs["more-than-declared.png"]
    assert (shape, peak < 5 * MIB) == ([3, 16, 16], True)


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_limit_allows_takes_16_bytes_a_pixel(name, bombs):
    """With the limit's 89 million pixels that is 1.3 GiB."""
    peak, shape = bombs[name]
    assert (shape, peak < 16 * 4_000_000 + 5 * MIB) == ([3, 16, 16], True)


def test_memory_that_runs_out_while_decoding_is_named(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "convert", exhausted)
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded \(MemoryError\)"):
        decode(str(tmp_path / "a.png"), 8, "rgb")


# ----------------------------------------------------------------------------------------------------- damage


def encoded():
    """One small picture in every format, some with EXIF, transparency, several frames or progressive scans."""
    noise = torch.randint(0, 256, (24 * 20 * 3,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image = Image.frombytes("RGB", (24, 20), bytes(noise.tolist()))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    faint = image.convert("RGBA")
    faint.putalpha(100)
    how = {
        "jpeg": (image, {"format": "JPEG", "exif": exif}),
        "progressive jpeg": (image, {"format": "JPEG", "progressive": True}),
        "png": (image, {"format": "PNG", "exif": exif}),
        "transparent png": (faint, {"format": "PNG"}),
        "webp": (image, {"format": "WEBP", "exif": exif}),
        "lossless webp": (faint, {"format": "WEBP", "lossless": True}),
        "animated webp": (image, {"format": "WEBP", "save_all": True, "append_images": [faint]}),
        "gif": (image, {"format": "GIF", "save_all": True, "append_images": [faint]}),
        "tiff": (image, {"format": "TIFF", "exif": exif}),
        "lzw tiff": (image, {"format": "TIFF", "compression": "tiff_lzw"}),
        "jpeg tiff": (image, {"format": "TIFF", "compression": "jpeg"}),
        "bmp": (image, {"format": "BMP"}),
    }
    files = {}
    for name, (picture, options) in how.items():
        buffer = BytesIO()
        picture.save(buffer, **options)
        files[name] = buffer.getvalue()
    return files


ENCODED = encoded()


def decoded_or_named(path, content):
    """Whether it decodes; the alternative is an error in the right words. Any other exception comes out."""
    path.write_bytes(content)
    said = ""
    try:
        image = decode(str(path), 8, "rgb")
    except DataError as error:
        said = str(error)
    if not said:
        assert (image.shape, image.dtype) == ((3, 8, 8), torch.uint8)
        return True
    assert said.startswith(f"{path}: ")
    return False


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file for all examples of a property."""
    return tmp_path_factory.mktemp("hostile") / "x.png"


@pytest.mark.parametrize("name", ENCODED)
def test_the_whole_file_decodes(name, scratch):
    assert decoded_or_named(scratch, ENCODED[name])


@pytest.mark.parametrize("name", ENCODED)
def test_a_file_cut_anywhere_decodes_or_is_named(name, scratch):
    whole = ENCODED[name]
    refused = sum(not decoded_or_named(scratch, whole[:n]) for n in range(0, len(whole), max(1, len(whole) // 60)))
    assert refused > 30


@given(name=st.sampled_from(sorted(ENCODED)), data=st.data())
@settings(max_examples=600, deadline=None)
def test_flipped_bits_decode_or_are_named(name, data, scratch):
    content = bytearray(ENCODED[name])
    # Headers are short and matter most: half of all flips go there.
    place = st.one_of(st.integers(0, min(200, len(content)) - 1), st.integers(0, len(content) - 1))
    for at, bit in data.draw(st.lists(st.tuples(place, st.integers(0, 7)), min_size=1, max_size=8)):
        content[at] ^= 1 << bit
    decoded_or_named(scratch, bytes(content))


@given(name=st.sampled_from(sorted(ENCODED)), data=st.data())
@settings(max_examples=300, deadline=None)
def test_bytes_replaced_moved_or_missing_decode_or_are_named(name, data, scratch):
    content = ENCODED[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    decoded_or_named(scratch, content[:start] + data.draw(st.binary(max_size=64)) + content[end:])


@given(start=st.sampled_from([whole[:n] for whole in ENCODED.values() for n in (4, 16, 60)]), rest=st.binary())
@settings(max_examples=200, deadline=None)
def test_a_good_start_and_then_noise_decodes_or_is_named(start, rest, scratch):
    decoded_or_named(scratch, start + rest)


# --------------------------------------------------------------------------------------------- something else


class Evil:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def test_a_pickle_is_not_unpickled(tmp_path):
    (tmp_path / "x.png").write_bytes(pickle.dumps(Evil(tmp_path / "trace")))
    torch.save(Evil(tmp_path / "trace"), tmp_path / "y.png")
    for name in ("x.png", "y.png"):
        with pytest.raises(DataError, match=f"{name}: cannot be decoded"):
            decode(str(tmp_path / name), 8, "rgb")
    assert not (tmp_path / "trace").exists()


def test_archives_and_programs_are_no_images(tmp_path):
    with zipfile.ZipFile(tmp_path / "zip.png", "w") as archive:
        archive.writestr("x.png", ENCODED["png"])
    (tmp_path / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nquit\n")
    (tmp_path / "svg.png").write_bytes(b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>')
    for name in ("zip.png", "eps.png", "svg.png"):
        with pytest.raises(DataError, match=f"{name}: cannot be decoded"):
            decode(str(tmp_path / name), 8, "rgb")


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "."])
def test_devices_and_folders_are_no_images(path):
    with pytest.raises(DataError, match=r"cannot be decoded"):
        decode(path, 8, "rgb")


def test_only_files_are_listed(tmp_path):
    """Pipes would block whoever opens them, until somebody writes."""
    (tmp_path / "good.png").write_bytes(ENCODED["png"])
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    links = {"pipe-link": "pipe.png", "zero": "/dev/zero", "loop": "loop.png", "a": "b.png", "b": "a.png", "gone": "no"}
    for name, target in links.items():
        (tmp_path / f"{name}.png").symlink_to(target)
    data = ImageFolder(root=str(tmp_path), size=8).load()
    assert list(data.paths) == [str(tmp_path / "good.png")]


def test_links_in_a_circle_are_no_classes(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.png").write_bytes(ENCODED["png"])
    (tmp_path / "loop").symlink_to("loop")
    assert ImageFolder(root=str(tmp_path), labels=True).spec().classes == 1


@pytest.fixture
def nest(tmp_path, monkeypatch):
    """`nest(n, name)` enters n folders of a name in each other, and takes them away again: pytest could not."""
    monkeypatch.chdir(tmp_path)
    entered = []

    def enter(n, name):
        for _ in range(n):
            os.mkdir(name)
            os.chdir(name)
            entered.append(name)

    yield enter
    for file in os.listdir("."):
        os.remove(file)
    for name in reversed(entered):
        os.chdir("..")
        os.rmdir(name)


def test_folders_nested_deeper_than_functions_may_be(tmp_path, nest):
    nest(sys.getrecursionlimit() + 200, "d")
    with open("1.png", "wb") as file:
        file.write(ENCODED["png"])
    data = ImageFolder(root=str(tmp_path), size=8).load()
    assert len(data) == 1
    assert data[0][0].shape == (3, 8, 8)


def test_folders_nested_deeper_than_a_path_may_be_long_are_named(tmp_path, nest):
    nest(25, "d" * 200)
    with pytest.raises(DataError, match=r"no folder that can be listed \(File name too long\)"):
        ImageFolder(root=str(tmp_path)).load()


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"\x1b[2J.png", b"two\nlines.png", b"[red].png"])
def test_a_name_that_is_no_text_does_not_keep_its_picture_from_being_named(tmp_path, name):
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(b"broken")
    data = ImageFolder(root=str(tmp_path), size=8).load()
    with pytest.raises(DataError) as raised:
        data[0]
    assert str(raised.value).startswith(os.path.join(str(tmp_path), os.fsdecode(name)))
