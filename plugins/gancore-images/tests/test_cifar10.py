"""cifar10: its spec, and what it says without its files, which have a fixed md5 and cannot be made up."""

import pytest

from gancore import DataError, DataSpec
from gancore_images.cifar10 import Cifar10


def test_spec_needs_no_files():
    assert Cifar10(root="nowhere").spec() == DataSpec((3, 32, 32), classes=10)
    assert Cifar10(root="nowhere", size=64).spec() == DataSpec((3, 64, 64), classes=10)


def test_missing_files_name_the_folder_and_the_remedy(tmp_path):
    with pytest.raises(DataError) as error:
        Cifar10(root=str(tmp_path)).load()
    assert str(tmp_path / "cifar-10-batches-py") in str(error.value)
    assert "set download = true under [data], or put the files there" in str(error.value)


def test_files_with_another_checksum_are_not_unpickled(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ):
        # A pickle that, opened, would leave a file behind.
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "opened") + b"'\ntR.")
    with pytest.raises(DataError, match="six original batches"):
        Cifar10(root=str(tmp_path)).load()
    assert not (tmp_path / "opened").exists()


def test_download_to_where_nothing_can_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"CIFAR10 could not be downloaded to .*file"):
        Cifar10(root=str(tmp_path / "file" / "below"), download=True).load()


def test_size_has_to_be_positive():
    with pytest.raises(ValueError, match="size"):
        Cifar10(size=0)
