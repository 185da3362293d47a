"""Finding images in a folder: which, in what order, and how the names are kept."""

import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gancore import DataError
from gancore_images.files import Paths, images_below, natural


def tree(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(root):
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in images_below(str(root))]


def test_every_extension_in_any_case_and_nothing_else(tmp_path):
    tree(tmp_path, "a.jpg", "b.JPEG", "c.Png", "d.webp", "e.bmp", "f.gif", "g.tif", "h.TIFF")
    tree(tmp_path, "notes.txt", "Thumbs.db", "jpg", "x.jpg.part", "clip.mp4")
    assert found(tmp_path) == ["a.jpg", "b.JPEG", "c.Png", "d.webp", "e.bmp", "f.gif", "g.tif", "h.TIFF"]


def test_hidden_files_and_folders_are_ignored(tmp_path):
    tree(tmp_path, ".a.png", ".hidden/b.png", "x/.c.png", "x/d.png")
    assert found(tmp_path) == ["x/d.png"]


def test_order_is_natural_and_depth_first(tmp_path):
    tree(tmp_path, "10.png", "9.png", "b/2.png", "b/11.png", "B2.png", "a.png")
    assert found(tmp_path) == ["9.png", "10.png", "a.png", "b/2.png", "b/11.png", "B2.png"]


def test_names_that_differ_in_case_only_have_an_order():
    assert sorted(["b1", "a1", "A1"], key=natural) == ["A1", "a1", "b1"]
    assert sorted(["01", "1"], key=natural) == ["01", "1"]


def test_a_folder_with_the_name_of_an_image_is_searched(tmp_path):
    tree(tmp_path, "set.png/1.png")
    assert found(tmp_path) == ["set.png/1.png"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    tree(tmp_path, "outside/1.png", "root/2.png")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "outside", target_is_directory=True)
    (tmp_path / "root" / "up").symlink_to(tmp_path / "root", target_is_directory=True)
    (tmp_path / "root" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert found(tmp_path / "root") == ["2.png", "linked/1.png"]


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no folder .* root under \[data\]"):
        list(images_below(str(tmp_path / "nowhere")))


def test_a_file_is_no_folder(tmp_path):
    tree(tmp_path, "1.png")
    with pytest.raises(DataError, match=r"1\.png: no folder"):
        list(images_below(str(tmp_path / "1.png")))


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_paths_give_back_what_they_were_given(names):
    paths = Paths(names)
    assert len(paths) == len(names)
    assert list(paths) == names
    assert list(pickle.loads(pickle.dumps(paths))) == names


def test_paths_count_from_the_end_and_end():
    paths = Paths(["a", "bc", ""])
    assert (paths[-1], paths[-3], paths[1:]) == ("", "a", ["bc", ""])
    with pytest.raises(IndexError):
        paths[3]


def test_undecodable_names_survive():
    name = os.fsdecode(b"caf\xe9.png")
    assert Paths([name])[0] == name


def test_a_hundred_thousand_paths_take_little_more_than_their_text():
    names = [f"/data/faces/{i:06}.jpg" for i in range(100_000)]
    paths = Paths(names)
    assert len(pickle.dumps(paths)) < sum(map(len, names)) + 8 * 100_000 + 5_000
