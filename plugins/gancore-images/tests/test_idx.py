"""The idx format: what is read, and what each kind of damage says."""

import gzip

import pytest
import torch

from gancore import DataError
from gancore_images.idx import find_idx, read_idx

# Two images of 1x3 pixels.
TINY = b"\0\0\x08\x03" + b"\0\0\0\x02" + b"\0\0\0\x01" + b"\0\0\0\x03" + bytes([1, 2, 3, 4, 5, 255])


def test_plain_file(tmp_path):
    (tmp_path / "tiny").write_bytes(TINY)
    tensor = read_idx(tmp_path / "tiny")
    assert tensor.dtype == torch.uint8
    assert tensor.tolist() == [[[1, 2, 3]], [[4, 5, 255]]]


def test_gzipped_file(tmp_path):
    (tmp_path / "tiny.gz").write_bytes(gzip.compress(TINY))
    assert read_idx(tmp_path / "tiny.gz").tolist() == [[[1, 2, 3]], [[4, 5, 255]]]


def test_plain_file_is_preferred(tmp_path):
    (tmp_path / "tiny.gz").touch()
    assert find_idx(tmp_path, "tiny") == tmp_path / "tiny.gz"
    (tmp_path / "tiny").touch()
    assert find_idx(tmp_path, "tiny") == tmp_path / "tiny"
    assert find_idx(tmp_path, "other") is None


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("short", TINY[:-1], r"\(2, 1, 3\), 22 bytes, but it has 21"),
        ("long", TINY + b"\0", "22 bytes, but it has 23"),
        ("cut-header", TINY[:10], "not an idx file of bytes"),
        ("empty", b"", "not an idx file of bytes"),
        ("floats", b"\0\0\x0d" + TINY[3:], "not an idx file of bytes"),
        ("page", b"<!DOCTYPE html><html>", "not an idx file of bytes"),
        ("page.gz", b"<!DOCTYPE html><html>", "cannot be read"),
        ("cut.gz", gzip.compress(TINY, mtime=0)[:-9], "cannot be read"),
        ("flipped.gz", gzip.compress(TINY, mtime=0)[:-5] + b"\0\0\0\0\0", "cannot be read"),
    ],
)
def test_damage_names_the_file(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: .*{says}.*get it again"):
        read_idx(tmp_path / name)
