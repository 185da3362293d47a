"""`gancore sample`: pictures of a finished run, the same for the same seed."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Gancore = Any


@pytest.fixture
def conditional(gancore: Gancore, tiny: Path, tmp_path: Path) -> Path:
    said = gancore("train", tiny, "--out", "run", "--set", "model.conditional=true", "--set", "callback=[]")
    assert said.code == 0
    return tmp_path / "run"


def cells(file: Path, columns: int) -> list[list[bytes]]:
    """The samples of a grid of 8x8 digits, row by row, as bytes."""
    with Image.open(file) as image:
        zoom = image.width // (9 * columns + 1)
        small = image.resize((image.width // zoom, image.height // zoom), Image.Resampling.NEAREST)
    boxes = [
        [(1 + 9 * x, 1 + 9 * y, 9 + 9 * x, 9 + 9 * y) for x in range(columns)] for y in range((small.height - 1) // 9)
    ]
    return [[small.crop(box).tobytes() for box in row] for row in boxes]


def test_by_default_64_samples_go_into_the_run_folder(gancore: Gancore, trained: Path) -> None:
    said = gancore("sample", "run")
    assert (said.code, said.err) == (0, "")
    assert said.out == "64 samples of step-00000006: run/samples/seed-0.png\n"
    grid = cells(trained / "samples" / "seed-0.png", 8)
    assert len({cell for row in grid for cell in row}) == 64


def test_the_picture_is_of_the_newest_checkpoint_and_says_so(gancore: Gancore, trained: Path) -> None:
    gancore("sample", "run", "-o", "new.png")
    (trained / "checkpoints" / "step-00000006" / "state.json").unlink()
    said = gancore("sample", "run", "-o", "old.png")
    assert (said.code, said.out) == (0, "64 samples of step-00000004: old.png\n")
    assert said.err.startswith("passed over: run/checkpoints/step-00000006: is damaged: ")
    assert Path("new.png").read_bytes() != Path("old.png").read_bytes()


def test_a_seed_is_a_picture(gancore: Gancore, trained: Path) -> None:
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert gancore("sample", "run", "--seed", seed, "-n", "9", "-o", f"{name}.png").code == 0
    a, b, c = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_n_is_the_number_of_samples(gancore: Gancore, trained: Path) -> None:
    said = gancore("sample", "run", "-n", "100", "-o", "many.png")
    assert said.out == "100 samples of step-00000006: many.png\n"
    grid = cells(Path("many.png"), 10)
    assert [len(row) for row in grid] == [10] * 10


def test_interpolation_makes_rows_of_eight_each_ending_where_the_next_begins(gancore: Gancore, trained: Path) -> None:
    said = gancore("sample", "run", "--interpolate", "-n", "64", "-o", "walk.png")
    assert said.out == "64 samples of step-00000006: walk.png\n"
    grid = cells(Path("walk.png"), 8)
    assert len(grid) == 8
    assert all(row[7] == following[0] for row, following in pairwise(grid))
    assert all(len(set(row)) == 8 for row in grid)


@pytest.mark.parametrize("n", ["1", "7", "12"])
def test_interpolation_has_at_least_one_whole_row(n: str, gancore: Gancore, trained: Path) -> None:
    said = gancore("sample", "run", "--interpolate", "-n", n, "-o", "walk.png")
    assert said.out == "8 samples of step-00000006: walk.png\n"


def test_a_class_of_a_model_without_classes_says_what_to_do(gancore: Gancore, trained: Path) -> None:
    said = gancore("sample", "run", "--class", "3")
    assert (said.code, said.out) == (2, "")
    assert said.err == "--class: model 'mlp' is not conditional; train with [model] conditional = true\n"


def test_a_conditional_model_makes_the_class_that_is_asked_for(gancore: Gancore, conditional: Path) -> None:
    said = gancore("sample", "run", "--class", "3", "-n", "16", "-o", "three.png")
    assert (said.code, said.out) == (0, "16 samples of step-00000006: three.png\n")
    gancore("sample", "run", "-n", "16", "-o", "all.png")
    three, every = ([cell for row in cells(Path(f"{name}.png"), 4) for cell in row] for name in ("three", "all"))
    same = [i for i in range(16) if three[i] == every[i]]
    assert same == [3, 13], "labels count through the ten classes"


def test_a_class_that_is_not_there_says_which_are(gancore: Gancore, conditional: Path) -> None:
    said = gancore("sample", "run", "--class", "10")
    assert (said.code, said.err) == (2, "--class 10: the data have the classes 0 to 9\n")


@pytest.mark.parametrize(
    ("out", "message"),
    [("nowhere/a.png", "nowhere/a.png: cannot be written\n"), ("run", "run: cannot be written; it is a folder\n")],
)
def test_a_picture_that_cannot_be_written_is_a_message(out: str, message: str, gancore: Gancore, trained: Path) -> None:
    said = gancore("sample", "run", "-o", out)
    assert (said.code, said.out, said.err) == (2, "", message)


def test_a_file_where_the_samples_should_be_is_a_message(gancore: Gancore, conditional: Path) -> None:
    (conditional / "samples").write_text("")
    said = gancore("sample", "run")
    assert (said.code, said.err) == (2, "run/samples/seed-0.png: cannot be written: File exists\n")


def test_a_folder_that_is_no_run_is_refused(gancore: Gancore) -> None:
    said = gancore("sample", "nowhere")
    assert (said.code, said.err) == (2, "nowhere: is no run folder (it has no experiment.toml)\n")
