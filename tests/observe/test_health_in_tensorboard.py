"""What TensorBoard shows of a run's health."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gancore
from gancore.observe.heatmap import BROKEN, LEFT, ROW, WIDTH, ZERO, Columns, heatmap

TENSORBOARD = """
[[callback]]
name = "tensorboard"
every = 20
"""
SETTINGS = ["train.steps=40", "log.every=10", "checkpoint.every=10"]


@pytest.fixture(scope="module")
def folder(sick_experiment: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("health")
    (root / "sick.toml").write_text(sick_experiment + TENSORBOARD)
    gancore.load(root / "sick.toml", SETTINGS).assemble(out=root / "run").train()
    return root / "run"


@pytest.fixture(scope="module")
def events(folder: Path) -> Any:
    return EventAccumulator(str(folder)).Reload()


def texts(events: Any, tag: str) -> list[tuple[int, str]]:
    found = events.Tensors(f"{tag}/text_summary")
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in found]


def test_every_number_of_every_probe_is_a_point(events: Any) -> None:
    for name in ("A", "B", "C", "auc", "rho/generator", "rho/discriminator"):
        assert [point.step for point in events.Scalars(f"health/{name}")] == [10, 20, 30, 40]


def test_a_finding_is_told_once(events: Any) -> None:
    told = [text for _, text in texts(events, "health/vanishing-depth") if "in generator layers.0" in text]
    assert len(told) == 1
    assert told[0].startswith("step 30: fatal: vanishing-depth in generator layers.0 (rho ")


def test_notices_are_texts(events: Any) -> None:
    told = [text for _, text in texts(events, "notices")]
    assert any("vanishing-depth in generator layers.0" in text for text in told)


def test_layers_over_time_are_pictures_at_the_rhythm_of_the_samples(events: Any) -> None:
    for role in ("generator", "discriminator"):
        images = events.Images(f"health/layers/{role}")
        assert [image.step for image in images] == [20, 40]
    with Image.open(io.BytesIO(images[-1].encoded_image_string)) as image:
        assert image.size[1] == 9 * ROW
    ((_, about),) = texts(events, "health/layers")
    assert "orange is exactly zero" in about


def test_a_resumed_run_goes_on_with_its_pictures_and_repeats_nothing(sick_experiment: str, tmp_path: Path) -> None:
    from gancore import checkpoint

    (tmp_path / "sick.toml").write_text(sick_experiment + TENSORBOARD)
    gancore.load(tmp_path / "sick.toml", SETTINGS).assemble(out=tmp_path / "run").train()
    before = set((tmp_path / "run").glob("events.*"))
    run = gancore.load(tmp_path / "run" / "experiment.toml", ["train.steps=60"]).assemble()
    run.make_folder = lambda: tmp_path / "run"
    run.load_state_dict(checkpoint.load_latest(tmp_path / "run")[0])
    run.train()
    (new,) = set((tmp_path / "run").glob("events.*")) - before
    events = EventAccumulator(str(new)).Reload()
    assert [point.step for point in events.Scalars("health/A")] == [50, 60]
    assert [image.step for image in events.Images("health/layers/generator")] == [60]
    assert not any(
        "vanishing-depth in generator layers.0" in text
        for tag in events.Tags()["tensors"]
        if tag.startswith("health/vanishing")
        for _, text in texts(events, tag.removesuffix("/text_summary"))
    )
    columns = run.callbacks["tensorboard"].session.layers["generator"].columns
    assert len(columns) == 6  # of the whole run, not the two of this process


# ----------------------------------------------------------------------------------------------------- heat maps


def middle(picture: Any, row: int, column: int, columns: int) -> tuple[int, ...]:
    """The colour of a cell."""
    return tuple(int(c) for c in picture[ROW * row + ROW // 2, LEFT + int((column + 0.5) * WIDTH / columns)])


def test_a_heat_map_has_a_row_a_layer_and_a_column_a_probe() -> None:
    picture = heatmap(["a", "b"], [[1e-12, 1e2], [1e2, 1e-12]])
    assert picture.dtype == np.uint8
    dark, light = (68, 1, 84), (253, 231, 37)
    found = [[middle(picture, row, column, 2) for column in range(2)] for row in range(2)]
    assert found == [[dark, light], [light, dark]]


def test_zero_and_what_is_no_number_have_colours_of_their_own() -> None:
    values = [0.0, float("nan"), float("inf"), -1.0, 1e-300, 1e300]
    picture = heatmap([str(value) for value in values], [values])
    colours = [middle(picture, row, 0, 1) for row in range(6)]
    assert colours == [ZERO, BROKEN, BROKEN, BROKEN, (68, 1, 84), (253, 231, 37)]


def test_names_of_any_letters_and_length_are_no_trouble() -> None:
    assert heatmap(["слой", "x" * 500, ""], [[1.0, 1.0, 1.0]]).shape == (5 * ROW, LEFT + WIDTH + 60, 3)


def test_a_long_run_keeps_a_bounded_number_of_columns() -> None:
    columns = Columns(most=8)
    for i in range(100):
        columns.add({"a": float(i)})
    kept = [column[0] for column in columns.columns]
    assert len(kept) <= 8
    assert kept == [float(i) for i in range(0, 100, 16)]


def test_other_layers_begin_another_picture() -> None:
    columns = Columns()
    columns.add({"a": 1.0})
    columns.add({"a": 2.0, "b": 3.0})
    assert (columns.names, columns.columns) == (("a", "b"), [[2.0, 3.0]])


def test_words_are_no_markdown() -> None:
    from gancore.observe.tensorboard import _as_text

    assert _as_text("layers_0 *x* <b> [a](b) `c`") == r"layers\_0 \*x\* &lt;b&gt; \[a\](b) \`c\`"
