"""What a training leaves for people to look at."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gancore
from gancore import DataSpec
from gancore.observe.grid import BLUE, GREY, MIN_SIDE, picture, save
from gancore.observe.stats import Stats

EXPERIMENT = """
[train]
steps = 6
batch_size = 16
device = "cpu"
[log]
every = 2
[checkpoint]
every = 4
keep = 1
[data]
name = "digits"
[model]
name = "mlp"
hidden = [16]
[loss]
name = "wgan-gp"
weight = 5.0
[optimizer]
name = "adam"
[[callback]]
name = "tensorboard"
every = 4
[[callback]]
name = "stats"
[[callback]]
name = "samples"
every = 4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("observe")
    (root / "seen.toml").write_text(EXPERIMENT)
    gancore.load(root / "seen.toml").assemble(out=root / "run").train()
    return root / "run"


@pytest.fixture(scope="module")
def events(folder: Path) -> Any:
    return EventAccumulator(str(folder)).Reload()


def test_the_run_folder_holds_what_the_readme_says(folder: Path) -> None:
    names = {path.name.partition(".tfevents")[0] for path in folder.iterdir()}
    assert names == {"experiment.toml", "checkpoints", "samples", "stats.jsonl", "events.out", ".lock"}


def test_tensorboard_has_a_point_per_log_interval(events: Any) -> None:
    for name in (
        "loss/discriminator",
        "score/real",
        "gradient/generator",
        "penalty/discriminator/wgan-gp",
        "lr/generator",
    ):
        assert [point.step for point in events.Scalars(name)] == [2, 4, 6]


def test_tensorboard_and_stats_tell_the_same(events: Any, folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    told = [point.value for point in events.Scalars("loss/generator")]
    assert told == pytest.approx([line["loss/generator"] for line in lines])


def test_tensorboard_has_sample_grids(events: Any) -> None:
    grids = events.Images("samples")
    assert [grid.step for grid in grids] == [4, 6]
    assert grids[0].width >= MIN_SIDE


def test_tensorboard_has_the_experiment_and_what_was_configured(events: Any) -> None:
    assert events.SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name == "hparams"
    text = events.Tensors("experiment/text_summary")[0].tensor_proto.string_val[0].decode()
    assert 'name = "gancore-losses/wgan-gp"' in text
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"loss.weight" in content
    assert b"train.batch_size" in content


def test_samples_are_pictures_of_the_rhythm_and_of_the_end(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["step-00000004.png", "step-00000006.png"]
    with Image.open(folder / "samples" / "step-00000006.png") as image:
        assert image.mode == "RGB"
        assert min(image.size) >= MIN_SIDE


def test_checkpoints_beyond_keep_are_gone(folder: Path) -> None:
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000006"]


def test_the_resolved_experiment_names_plugins_and_every_option(folder: Path) -> None:
    text = (folder / "experiment.toml").read_text()
    assert f'gancore = "{gancore.__version__}"' in text
    assert 'gancore-mlp = "' in text
    assert "weight = 5.0" in text
    assert "ema = 10000.0" in text  # a default, spelled out


def test_a_cut_off_line_of_stats_belongs_to_no_step(tmp_path: Path) -> None:
    class Resumed:
        step = 4
        folder = tmp_path

    (tmp_path / "stats.jsonl").write_text('{"step": 2}\n{"step": 4}\n{"step": 6}\n{"st')
    Stats().train_started(Resumed())  # type: ignore[arg-type]
    assert (tmp_path / "stats.jsonl").read_text() == '{"step": 2}\n{"step": 4}\n'


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_channels_make_an_rgb_grid(channels: int) -> None:
    made = picture(torch.zeros(9, channels, 16, 16), DataSpec((channels, 16, 16)))
    assert made.dtype == torch.uint8
    assert made.shape[0] == 3
    assert min(made.shape[1:]) >= MIN_SIDE


def test_a_grid_shows_minus_one_as_black_and_one_as_white() -> None:
    images = torch.stack([torch.full((1, 8, 8), -1.0), torch.full((1, 8, 8), 1.0)])
    made = picture(images, DataSpec((1, 8, 8)))
    assert set(made.unique().tolist()) == {0, 255}


def test_vectors_are_points_on_the_scale_of_the_reals() -> None:
    reals = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    made = picture(torch.tensor([[0.0, 0.0], [1e9, float("nan")]]), DataSpec((2,), range=None), reals)
    pixels = made.permute(1, 2, 0).reshape(-1, 3)
    count = {colour: int((pixels == torch.tensor(colour, dtype=torch.uint8)).all(1).sum()) for colour in (GREY, BLUE)}
    assert count == {GREY: 2 * 4, BLUE: 4}  # the point far away and the NaN are outside


def test_a_picture_is_written_whole(tmp_path: Path) -> None:
    made = picture(torch.zeros(4, 3, 16, 16), DataSpec((3, 16, 16)))
    save(made, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (made.shape[2], made.shape[1])
