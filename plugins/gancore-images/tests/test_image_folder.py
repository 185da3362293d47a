"""image-folder: what it loads, its labels, and what it says about folders that are not as they should be."""

import pickle

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from gancore import DataError, DataSpec
from gancore_images.image_folder import ImageFolder


@pytest.fixture
def put(tmp_path):
    """Writes flat grey images: name to level."""

    def write(**levels):
        for name, level in levels.items():
            path = tmp_path / f"{name.replace('__', '/')}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (6, 4), level).save(path)
        return str(tmp_path)

    return write


def levels(dataset):
    return [int(sample[0][0, 0, 0]) for sample in dataset]


def test_spec_without_labels_needs_no_folder():
    assert ImageFolder(root="nowhere").spec() == DataSpec((3, 64, 64))
    assert ImageFolder(root="nowhere", size=32, channels="grayscale").spec() == DataSpec((1, 32, 32))


def test_all_images_below_in_natural_order(put):
    data = ImageFolder(root=put(b__x=3, a__2=1, a__10=2), size=4).load()
    assert len(data) == 3
    assert levels(data) == [1, 2, 3]


def test_a_sample_is_one_uint8_image(put):
    (image,) = ImageFolder(root=put(a=7), size=8, channels="grayscale").load()[0]
    assert torch.equal(image, torch.full((1, 8, 8), 7, dtype=torch.uint8))


def test_the_same_bytes_every_time(put):
    data = ImageFolder(root=put(a=7, b=8), size=5).load()
    assert torch.equal(data[1][0], data[1][0])


def test_index_out_of_range(put):
    data = ImageFolder(root=put(a=7)).load()
    with pytest.raises(IndexError):
        data[1]


# ----------------------------------------------------------------------------------------------------- labels


def test_labels_are_the_folders_in_root_in_natural_order(put):
    root = put(c10__x=1, c9__x=2, c9__deep__y=3)
    folder = ImageFolder(root=root, size=4, labels=True)
    assert folder.spec().classes == 2
    assert [(int(image[0, 0, 0]), int(label)) for image, label in folder.load()] == [(3, 0), (2, 0), (1, 1)]


def test_labels_are_int64_tensors(put):
    _, label = ImageFolder(root=put(a__x=1), labels=True).load()[0]
    assert (label.dtype, label.shape) == (torch.int64, ())


def test_images_beside_the_folders_have_no_label_and_are_named(put):
    folder = ImageFolder(root=put(a__x=1, l1=1, l2=1, l3=1, l4=1, l5=1), labels=True)
    for moment in (folder.spec, folder.load):
        with pytest.raises(DataError, match=r"in none: l1\.png, l2\.png, l3\.png and 2 more"):
            moment()


def test_labels_without_folders(tmp_path):
    with pytest.raises(DataError, match="needs one folder per class"):
        ImageFolder(root=str(tmp_path), labels=True).load()


def test_class_without_images_is_named(put, tmp_path):
    put(a__x=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no images"):
        ImageFolder(root=str(tmp_path), labels=True).load()


# -------------------------------------------------------------------------------------------- missing, broken


def test_root_has_to_be_given():
    with pytest.raises(TypeError, match="root"):
        ImageFolder()


def test_missing_folder_is_named():
    with pytest.raises(DataError, match=r"nowhere: no folder that can be listed"):
        ImageFolder(root="nowhere").load()


def test_folder_without_images_says_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no images in it or below it; looked for \.jpg \.jpeg \.png \.webp"):
        ImageFolder(root=str(tmp_path)).load()


def test_broken_image_is_named_when_it_is_asked_for(put, tmp_path):
    root = put(a=1)
    (tmp_path / "b.png").write_bytes(b"broken")
    data = ImageFolder(root=root, size=4).load()
    assert levels([data[0]]) == [1]
    with pytest.raises(DataError, match=r"b\.png"):
        data[1]


# ----------------------------------------------------------------------------------------- workers and memory


def test_it_goes_to_another_process(put):
    data = ImageFolder(root=put(a=7, b=8), size=4, labels=False).load()
    assert levels(pickle.loads(pickle.dumps(data))) == [7, 8]


def test_a_relative_root_survives_a_change_of_folder(put, tmp_path, monkeypatch):
    put(sub__a=7)
    monkeypatch.chdir(tmp_path)
    data = ImageFolder(root="sub", size=4).load()
    monkeypatch.chdir(tmp_path.parent)
    assert levels(data) == [7]


def test_batches_come_from_worker_processes(put):
    data = ImageFolder(root=put(a__1=7, b__2=8), size=4, labels=True).load()
    loader = DataLoader(data, batch_size=2, num_workers=1, multiprocessing_context="fork")
    ((images, labels),) = list(loader)
    assert images[:, 0, 0, 0].tolist() == [7, 8]
    assert (images.dtype, labels.dtype, labels.tolist()) == (torch.uint8, torch.int64, [0, 1])


@pytest.mark.parametrize("labels", [False, True])
def test_resident_holds_the_same(put, labels):
    root = put(a__1=7, b__2=8)
    stream = ImageFolder(root=root, size=4, labels=labels).load()
    resident = ImageFolder(root=root, size=4, labels=labels, resident=True).load()
    assert isinstance(resident, TensorDataset)
    assert len(resident) == 2
    for i in range(2):
        assert all(torch.equal(a, b) for a, b in zip(resident[i], stream[i], strict=True))
        assert len(resident[i]) == len(stream[i])


def test_size_has_to_be_positive():
    with pytest.raises(ValueError, match="size"):
        ImageFolder(root=".", size=0)
