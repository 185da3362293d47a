"""mnist and fashion-mnist: tiny files in the right format, a local server, the real files where they are."""

import gzip
import hashlib
import os
import socket
import struct
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import torch

from gancore import DataError, DataSpec
from gancore_images.fashion_mnist import FashionMnist
from gancore_images.mnist import Mnist

BOTH = pytest.mark.parametrize(("dataset", "name"), [(Mnist, "MNIST"), (FashionMnist, "FashionMNIST")])


def idx(tensor):
    return (
        b"\0\0\x08" + bytes([tensor.dim()]) + struct.pack(f">{tensor.dim()}I", *tensor.shape) + bytes(tensor.flatten())
    )


def files(images, labels, prefix="train"):
    return {f"{prefix}-images-idx3-ubyte": idx(images), f"{prefix}-labels-idx1-ubyte": idx(labels)}


@pytest.fixture
def tiny():
    """Three images, their pixels 0..255 repeated, and their labels."""
    images = (torch.arange(3 * 28 * 28) % 256).to(torch.uint8).view(3, 28, 28)
    return images, torch.tensor([7, 0, 9], dtype=torch.uint8)


def put(root, name, contents, packed=False):
    folder = root / name / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        (folder / (f"{file}.gz" if packed else file)).write_bytes(gzip.compress(content) if packed else content)
    return folder


@BOTH
@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "gz"])
def test_files_are_read_as_they_are(tmp_path, tiny, dataset, name, packed):
    folder = put(tmp_path, name, files(*tiny), packed)
    before = sorted(folder.iterdir())
    images, labels = dataset(root=str(tmp_path)).load().tensors
    assert torch.equal(images, tiny[0][:, None])
    assert images.dtype == torch.uint8
    assert (labels.tolist(), labels.dtype) == ([7, 0, 9], torch.int64)
    assert sorted(folder.iterdir()) == before


def test_split_picks_the_files(tmp_path, tiny):
    images, labels = tiny
    put(tmp_path, "MNIST", files(images, labels))
    put(tmp_path, "MNIST", files(images[:2], labels[:2], prefix="t10k"), packed=True)
    assert len(Mnist(root=str(tmp_path), split="train").load()) == 3
    assert len(Mnist(root=str(tmp_path), split="test").load()) == 2


@BOTH
def test_spec_needs_no_files(dataset, name):
    assert dataset(root="nowhere").spec() == DataSpec((1, 28, 28), classes=10)
    assert dataset(root="nowhere", size=32).spec() == DataSpec((1, 32, 32), classes=10)


def test_resize_to_32(tmp_path, tiny):
    flat = torch.full_like(tiny[0], 77)
    put(tmp_path, "MNIST", files(flat, tiny[1]))
    images, _ = Mnist(root=str(tmp_path), size=32).load().tensors
    assert torch.equal(images, torch.full((3, 1, 32, 32), 77, dtype=torch.uint8))


def test_pad_to_32_keeps_every_pixel(tmp_path, tiny):
    put(tmp_path, "MNIST", files(*tiny))
    images, _ = Mnist(root=str(tmp_path), size=32, fit="pad").load().tensors
    assert images.shape == (3, 1, 32, 32)
    assert torch.equal(images[:, 0, 2:30, 2:30], tiny[0])
    assert images.long().sum() == tiny[0].long().sum()


@pytest.mark.parametrize("size", [None, 27])
def test_pad_without_room_is_refused(size):
    with pytest.raises(ValueError, match="size of 28 or more"):
        Mnist(size=size, fit="pad")


@BOTH
def test_missing_files_name_the_folder_and_the_remedy(tmp_path, dataset, name):
    with pytest.raises(DataError) as error:
        dataset(root=str(tmp_path)).load()
    assert str(tmp_path / name / "raw") in str(error.value)
    assert "set download = true under [data], or put the files there" in str(error.value)


def test_one_of_two_files_is_not_enough(tmp_path, tiny):
    (put(tmp_path, "MNIST", files(*tiny)) / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="train-labels-idx1-ubyte"):
        Mnist(root=str(tmp_path)).load()


def test_a_home_folder_is_found(tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    put(tmp_path / "sets", "MNIST", files(*tiny))
    assert len(Mnist(root="~/sets").load()) == 3


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(3, 28, 27), torch.zeros(3)),
        (torch.zeros(3, 28, 28), torch.zeros(2)),
        (torch.zeros(3, 28, 28), torch.full((3,), 10)),
    ],
    ids=["narrow", "label missing", "label 10"],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, images, labels):
    put(tmp_path, "MNIST", files(images.to(torch.uint8), labels.to(torch.uint8)))
    with pytest.raises(DataError, match="28x28 images with one label 0 to 9 each"):
        Mnist(root=str(tmp_path)).load()


# --------------------------------------------------------------------------------------------------- download


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder served on this machine, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), lambda *a: Quiet(*a, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


@pytest.fixture
def mirror(server, tiny, monkeypatch):
    """torchvision's MNIST comes from the local server and is the tiny one."""
    folder, address = server
    contents = files(*tiny) | files(*tiny, prefix="t10k")
    packed = {f"{name}.gz": gzip.compress(content) for name, content in contents.items()}
    for name, content in packed.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(Mnist.source, "mirrors", [address])
    resources = [(name, hashlib.md5(content).hexdigest()) for name, content in packed.items()]
    monkeypatch.setattr(Mnist.source, "resources", resources)
    return folder


def test_download_fetches_what_is_missing(tmp_path, tiny, mirror):
    images, labels = Mnist(root=str(tmp_path / "new"), download=True).load().tensors
    assert torch.equal(images, tiny[0][:, None])
    assert labels.tolist() == [7, 0, 9]


def test_download_leaves_alone_what_is_there(tmp_path, tiny, mirror):
    for file in mirror.iterdir():
        file.unlink()
    put(tmp_path, "MNIST", files(*tiny), packed=True)
    assert len(Mnist(root=str(tmp_path), download=True).load()) == 3


def test_download_that_fails_says_where_to_and_why(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Mnist.source, "mirrors", [nobody])
    with pytest.raises(DataError, match=r"(?s)MNIST could not be downloaded to .*refused.*put them there"):
        Mnist(root=str(tmp_path), download=True).load()


def test_download_with_a_wrong_checksum_is_refused(tmp_path, mirror):
    (mirror / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"(?s)could not be downloaded.*corrupted"):
        Mnist(root=str(tmp_path), download=True).load()


def test_download_to_where_nothing_can_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "MNIST").write_text("a file where the folder should go")
    with pytest.raises(DataError, match="could not be downloaded"):
        Mnist(root=str(tmp_path), download=True).load()


# --------------------------------------------------------------------------------------------- the real thing

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
DATA = Path(os.environ.get("GANCORE_DATA", SHARED))


@pytest.mark.skipif(
    not (DATA / "MNIST" / "raw").is_dir(),
    reason="needs MNIST/raw in the folder named by the environment variable GANCORE_DATA",
)
@pytest.mark.parametrize(
    ("split", "samples", "first", "mean"),
    [("train", 60_000, [5, 0, 4, 1, 9], 0.1307), ("test", 10_000, [7, 2, 1, 0, 4], 0.1325)],
)
def test_the_original_files(split, samples, first, mean):
    images, labels = Mnist(root=str(DATA), split=split).load().tensors
    assert images.shape == (samples, 1, 28, 28)
    assert labels[:5].tolist() == first
    # The well-known mean of MNIST's pixels, as a share of 255.
    assert float(images.float().mean()) / 255 == pytest.approx(mean, abs=5e-5)
