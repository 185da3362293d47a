"""Assembling: what is plugged into what, what may be handed in as an object, and what is refused before a step."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

import gancore
from gancore import ComponentError, DataError, DataSpec, ExperimentError, UserError
from gancore.assemble import make_folder
from gancore.assemble.build import choose_device, plan_steps
from gancore.experiment import Train
from gancore.training.run import Run

TRAIN = """
[train]
steps = 4
batch_size = 4
device = "cpu"
"""
DIGITS = '[data]\nname = "digits"\n'
RING = '[data]\nname = "ring"\n'
MLP = '[model]\nname = "mlp"\nlatent_dim = 8\nhidden = [16]\n'
PLAY = '[loss]\nname = "hinge"\n[optimizer]\nname = "adam"\n'

Assemble = Callable[..., Run]


@pytest.fixture
def assemble(tmp_path: Path) -> Assemble:
    def build(*tables: str, **objects: object) -> Run:
        file = tmp_path / "a.toml"
        file.write_text(TRAIN + "".join(tables))
        return gancore.load(file).assemble(**objects)

    return build


class G(nn.Module):
    """z (N, 3) -> (N, 2)."""

    latent_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layer(z)


class D(nn.Module):
    """x (N, 2) -> score (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layer(x).squeeze(1)


class Stateless(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x.sum(1)


VECTORS = TensorDataset(torch.arange(24.0).reshape(12, 2))


# ------------------------------------------------------------------------------------------------- device and length


def test_auto_is_a_gpu_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("wanted", ["tpu", "gpu", "mps", "meta", "cuda:", "cuda:-1", "cuda:99999999999", "", "CPU "])
def test_a_device_that_is_none_is_refused(wanted: str) -> None:
    with pytest.raises(UserError) as caught:
        choose_device(wanted)
    assert str(caught.value) == f'train.device: expected "auto", "cpu", "cuda" or "cuda:N", got "{wanted}"'


def test_a_gpu_that_is_not_there_is_refused_with_how_many_are() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(UserError) as caught:
        choose_device(f"cuda:{count}")
    assert str(caught.value) == (
        f'train.device: "cuda:{count}" is not there; torch sees {count} CUDA devices. "auto" takes what there is'
    )


@pytest.mark.parametrize(
    ("train", "samples", "steps"),
    [
        (Train(steps=7), 1000, 7),
        (Train(epochs=1, batch_size=10), 100, 10),
        (Train(epochs=1, batch_size=10), 109, 10),  # the last, smaller batch does not count
        (Train(epochs=3, batch_size=10, n_critic=5), 100, 6),  # D's passes count, G has one step in five
        (Train(epochs=0.25, batch_size=10), 100, 2),  # 2.5, rounded to even
        (Train(epochs=0.001, batch_size=10), 100, 1),
    ],
)
def test_an_epoch_is_one_pass_of_d_over_the_data(train: Train, samples: int, steps: int) -> None:
    assert plan_steps(train, samples) == steps


# ------------------------------------------------------------------------------------------------ objects handed in


def test_networks_and_data_may_be_handed_in(assemble: Assemble) -> None:
    generator, discriminator = G(), D()
    run = assemble(PLAY, generator=generator, discriminator=discriminator, data=VECTORS)
    assert run.game.generator.network is generator
    assert run.game.discriminator.network is discriminator
    assert run.data == DataSpec((2,), 0, None)
    assert run.latents(5, seed=0)[0].shape == (5, 3)
    run.advance(2)
    assert run.step == 2


def test_an_object_takes_the_place_of_what_the_file_names(assemble: Assemble) -> None:
    discriminator = D()
    run = assemble(RING, MLP, PLAY, discriminator=discriminator)
    assert run.game.discriminator.network is discriminator
    assert run.latents(1, seed=0)[0].shape == (1, 8), "G is still the file's"


def test_a_run_that_only_advances_leaves_nothing_on_disk(
    assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assemble(RING, MLP, PLAY).advance(2)
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


def test_runs_that_start_at_the_same_moment_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(TRAIN + RING + MLP + PLAY)
    experiment = gancore.load("a.toml").experiment
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: make_folder(experiment, None), range(24)))
    assert {str(folder) for folder in folders} == {f"runs/a-{n}" for n in range(1, 25)}
    assert all((folder / "experiment.toml").is_file() for folder in folders)


@pytest.mark.parametrize(
    ("tensors", "spec"),
    [
        ((torch.zeros(8, 5),), DataSpec((5,), 0, None)),
        ((torch.zeros(8, 3, 4, 4, dtype=torch.uint8),), DataSpec((3, 4, 4), 0, (-1.0, 1.0))),
        ((torch.zeros(8, 5), torch.arange(8) % 3), DataSpec((5,), 3, None)),
    ],
    ids=["vectors", "images", "labelled"],
)
def test_a_tensor_data_set_says_itself_what_it_is(
    tensors: tuple[Tensor, ...], spec: DataSpec, assemble: Assemble
) -> None:
    assert assemble(MLP, PLAY, data=TensorDataset(*tensors)).data == spec


def test_a_spec_that_is_handed_in_counts(assemble: Assemble) -> None:
    spec = DataSpec((2,), 0, (0.0, 23.0))
    run = assemble(MLP, PLAY, data=VECTORS, spec=spec)
    assert run.data is spec
    assert run.sample(*run.latents(64, seed=0)).min() >= 0, "the generator keeps to the range"


def test_a_spec_that_is_wrong_is_noticed(assemble: Assemble) -> None:
    with pytest.raises(DataError) as caught:
        assemble(MLP, PLAY, data=VECTORS, spec=DataSpec((3,), 0, None))
    assert str(caught.value) == (
        "the data set says its samples are (3,) torch.float32, but the first one is (2,) torch.float32"
    )


def test_data_of_another_class_need_a_spec(assemble: Assemble) -> None:
    class Squares(Dataset[tuple[Tensor]]):
        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> tuple[Tensor]:
            return (torch.tensor([float(index), float(index**2)]),)

    with pytest.raises(UserError) as caught:
        assemble(MLP, PLAY, data=Squares())
    assert str(caught.value) == "cannot tell what the data look like; hand spec=gancore.DataSpec(...) to assemble"
    run = assemble(MLP, PLAY, "[log]\nevery = 2\n", data=Squares(), spec=DataSpec((2,), 0, None))
    assert run.data.shape == (2,)


@pytest.mark.parametrize("labels", [(), (torch.empty(0, dtype=torch.int64),)], ids=["unlabelled", "labelled"])
def test_data_without_samples_are_refused(labels: tuple[Tensor, ...], assemble: Assemble) -> None:
    with pytest.raises(DataError, match="the data have 0 samples, fewer than"):
        assemble(MLP, PLAY, data=TensorDataset(torch.empty(0, 2), *labels))


def test_a_generator_without_latent_dim_needs_to_be_told(assemble: Assemble) -> None:
    with pytest.raises(UserError) as caught:
        assemble(PLAY, generator=nn.Sequential(G()), discriminator=D(), data=VECTORS)
    assert str(caught.value) == "the generator has no attribute latent_dim; hand latent_dim=... to assemble"
    run = assemble(PLAY, generator=nn.Sequential(G()), discriminator=D(), data=VECTORS, latent_dim=3)
    assert run.latents(1, seed=0)[0].shape == (1, 3)


def test_everything_that_is_missing_is_named_at_once(assemble: Assemble, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as caught:
        assemble(PLAY)
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'a.toml'}:1:1: missing table [{table}] (or hand {table}=... to assemble)"
        for table in ("data", "discriminator", "generator")
    ]


def test_only_what_is_missing_is_named(assemble: Assemble, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as caught:
        assemble(PLAY, generator=G(), data=VECTORS)
    assert str(caught.value) == (
        f"{tmp_path / 'a.toml'}:1:1: missing table [discriminator] (or hand discriminator=... to assemble)"
    )


# ---------------------------------------------------------------------------------------- networks that do not fit

MODELS = """
import torch
from torch import nn
from gancore import Component, component, hookimpl, option

class Net(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x, y=None):
        return self.bias.expand(len(x), *self.shape)

@component
class Custom:
    latent_dim: int = option(4, "Length of z.")
    makes: tuple[int, ...] = option((1, 8, 8), "What G makes.")
    scores: tuple[int, ...] = option((), "What a score looks like.")
    none: bool = option(False, "Return no module.")

    def generator(self, data):
        return "a network" if self.none else Net(self.makes)

    def discriminator(self, data):
        return Net(self.scores)

@hookimpl
def gancore_models():
    return [Component("custom", "custom_models:Custom", "Makes what it is told.")]
"""


def custom(options: str = "") -> str:
    return f'[model]\nname = "custom"\n{options}\n'


@pytest.fixture
def models(install: Callable[..., None]) -> None:
    install("gancore-custom", custom_models=MODELS)


@pytest.mark.usefixtures("models")
def test_networks_that_fit_are_accepted(assemble: Assemble) -> None:
    run = assemble(DIGITS, custom(), PLAY)
    assert run.sample(*run.latents(3, seed=0)).shape == (3, 1, 8, 8)


@pytest.mark.usefixtures("models")
def test_a_generator_of_the_wrong_shape_is_refused_with_both_shapes(assemble: Assemble) -> None:
    with pytest.raises(ComponentError) as caught:
        assemble(DIGITS, custom("makes = [3, 4, 4]"), PLAY)
    assert str(caught.value) == (
        "model 'custom': the generator makes samples of shape (4, 3, 4, 4) for a batch of 4; expected (4, 1, 8, 8)"
    )


@pytest.mark.usefixtures("models")
def test_a_score_of_the_wrong_shape_is_refused_with_both_shapes(assemble: Assemble) -> None:
    with pytest.raises(ComponentError) as caught:
        assemble(DIGITS, custom("scores = [1]"), PLAY)
    assert str(caught.value) == (
        "model 'custom': the discriminator makes scores of shape (4, 1) for a batch of 4; expected (4,)"
    )


@pytest.mark.usefixtures("models")
def test_a_model_that_returns_no_module_is_refused(assemble: Assemble) -> None:
    with pytest.raises(ComponentError) as caught:
        assemble(DIGITS, custom("none = true"), PLAY)
    assert str(caught.value) == "model 'custom': generator() returned str, not a torch.nn.Module"


@pytest.mark.usefixtures("models")
def test_two_models_may_share_the_work(assemble: Assemble) -> None:
    separate = custom().replace("[model]", "[generator]") + MLP.replace("[model]", "[discriminator]")
    run = assemble(DIGITS, separate, PLAY)
    assert type(run.game.generator.network).__module__ == "custom_models"
    assert type(run.discriminator).__module__ == "gancore_mlp.networks"


def test_a_conditional_model_on_unlabelled_data_is_refused(assemble: Assemble) -> None:
    with pytest.raises(ComponentError, match="conditional = true needs labels, but the data have none"):
        assemble(MLP, "conditional = true\n", PLAY, data=VECTORS)


@pytest.mark.parametrize(
    ("networks", "role"),
    [({"generator": Stateless(), "latent_dim": 3}, "generator"), ({"discriminator": Stateless()}, "discriminator")],
)
def test_a_network_without_parameters_is_refused(networks: dict[str, Any], role: str, assemble: Assemble) -> None:
    both = {"generator": G(), "discriminator": D(), **networks}
    with pytest.raises(ComponentError) as caught:
        assemble(PLAY, data=VECTORS, **both)
    assert str(caught.value) == f"the {role} has no parameter to train"


# -------------------------------------------------------------------------------------- regularizers and optimizers


def regularizers(*tables: str) -> str:
    return "".join(f"[[regularizer]]\n{table}\n" for table in tables)


def keys(run: Run) -> dict[str, list[str]]:
    return {p.role: [r.key for r in p.regularizers] for p in (run.game.discriminator, run.game.generator)}


def test_the_same_regularizer_twice_gets_two_keys_and_two_streams(assemble: Assemble) -> None:
    run = assemble(RING, MLP, PLAY, regularizers('name = "r1"\ngamma = 1', 'name = "r2"', 'name = "r1"\ngamma = 3'))
    assert keys(run) == {"discriminator": ["r1", "r2", "r1-2"], "generator": []}
    first, _, second = run.game.discriminator.regularizers
    assert (first.component.gamma, second.component.gamma) == (1.0, 3.0)
    assert first.context.rng.initial_seed() != second.context.rng.initial_seed()
    run.advance(1)
    assert {f"penalty/discriminator/{key}" for key in ("r1", "r2", "r1-2")} <= run.look().keys()


def test_a_regularizer_for_both_networks_is_one_instance_each(assemble: Assemble) -> None:
    run = assemble(RING, MLP, PLAY, regularizers('name = "gradient-clipping"\non = "both"'))
    assert keys(run) == {"discriminator": ["gradient-clipping"], "generator": ["gradient-clipping"]}
    ((of_d,), (of_g,)) = run.game.discriminator.regularizers, run.game.generator.regularizers
    assert of_d.component is not of_g.component
    assert of_d.context.rng is not of_g.context.rng
    assert of_d.context.step is of_g.context.step is run.clock
    assert of_d.context.steps == 4


def test_a_regularizer_for_one_network_is_only_there(assemble: Assemble) -> None:
    run = assemble(RING, MLP, PLAY, regularizers('name = "gradient-clipping"\non = "generator"'))
    assert keys(run) == {"discriminator": [], "generator": ["gradient-clipping"]}


def test_regularizers_change_the_network_before_its_optimizer_is_built(assemble: Assemble) -> None:
    run = assemble(RING, MLP, PLAY, regularizers('name = "spectral-norm"'))
    D = run.game.discriminator
    trained = {id(parameter) for group in D.optimizer.param_groups for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in D.network.parameters()}
    assert any("parametrizations" in name for name, _ in D.network.named_parameters())


ADAM = '[loss]\nname = "hinge"\n[optimizer]\nname = "adam"\nlr = 0.01\nbeta1 = 0.5\nbeta2 = 0.99\n'


def test_a_lazy_penalty_corrects_the_optimizer_of_its_network_only(assemble: Assemble) -> None:
    """c = k/(k+1): lr c, betas to the power of c."""
    run = assemble(RING, MLP, ADAM, regularizers('name = "r1"\nevery = 16'))
    (d,), (g,) = run.game.discriminator.optimizer.param_groups, run.game.generator.optimizer.param_groups
    assert d["lr"] == 0.01 * (16 / 17)
    assert d["betas"] == (0.5 ** (16 / 17), 0.99 ** (16 / 17))
    assert (g["lr"], g["betas"]) == (0.01, (0.5, 0.99))


def test_the_most_frequent_lazy_penalty_decides(assemble: Assemble) -> None:
    lazy = ('name = "r1"\nevery = 16', 'name = "r2"\nevery = 4', 'name = "dragan"')
    (d,) = assemble(RING, MLP, ADAM, regularizers(*lazy)).game.discriminator.optimizer.param_groups
    assert d["lr"] == 0.01 * (4 / 5)


def test_each_network_may_have_its_own_optimizer(assemble: Assemble) -> None:
    own = "[optimizer.discriminator]\nlr = 0.04\n[optimizer.generator]\nname = 'sgd'\nlr = 0.5\n"
    run = assemble(RING, MLP, ADAM, own)
    d, g = run.game.discriminator.optimizer, run.game.generator.optimizer
    assert isinstance(d, torch.optim.Adam)
    assert isinstance(g, torch.optim.SGD)
    assert (d.param_groups[0]["lr"], d.param_groups[0]["betas"]) == (0.04, (0.5, 0.99))
    assert g.param_groups[0]["lr"] == 0.5


def test_the_same_callback_twice_gets_two_keys_and_checkpoints_come_last(assemble: Assemble) -> None:
    twice = '[[callback]]\nname = "samples"\nseed = 1\n[[callback]]\nname = "samples"\nseed = 2\n'
    run = assemble(RING, MLP, PLAY, twice)
    assert list(run.callbacks) == ["samples", "samples-2", "checkpoint"]
    assert [run.callbacks[key].seed for key in ("samples", "samples-2")] == [1, 2]


def test_the_settings_are_flat_and_simple(assemble: Assemble) -> None:
    run = assemble(RING, MLP, '[loss]\nname = "wgan-gp"\n[optimizer]\nname = "adam"\nlr = 0.01\n')
    settings = dict(run.settings)
    assert {type(value) for value in settings.values()} <= {str, int, float, bool}
    assert {key: settings[key] for key in ("train.batch_size", "data", "model", "model.hidden", "optimizer.lr")} == {
        "train.batch_size": 4,
        "data": "ring",
        "model": "mlp",
        "model.hidden": "(16,)",
        "optimizer.lr": 0.01,
    }
    assert settings["loss"] == "wgan-gp"
    assert settings["loss.wgan-gp"] == "wgan-gp", "the penalty that the loss brings along"


def test_what_the_file_gives_the_run_is_taken(assemble: Assemble) -> None:
    run = assemble("n_critic = 3\nseed = 7\n[log]\nevery = 9\n", RING, MLP, PLAY)
    assert (run.name, run.steps, run.n_critic, run.seed, run.log_every, run.batch_size) == ("a", 4, 3, 7, 9, 4)
    assert 'name = "gancore-losses/hinge"' in run.text


def test_what_was_handed_in_is_not_recorded_as_the_files_component(tmp_path: Path, assemble: Assemble) -> None:
    """Nobody is to resume such a run with the data of the file."""
    file = tmp_path / "mine.toml"
    file.write_text((Path(__file__).parents[1] / "examples" / "digits.toml").read_text())
    data = TensorDataset(torch.zeros(80, 1, 8, 8, dtype=torch.uint8))
    run = gancore.load(file, ["train.device=cpu"]).assemble(data=data, out=tmp_path / "run")
    text = (run.folder / "experiment.toml").read_text()
    assert "[data]" not in text
    assert "# Handed in by a script, so that the script is needed to go on: data." in text
    assert "[model]" in text


def test_augmentation_that_does_not_fit_the_data_is_refused_before_training(assemble: Assemble) -> None:
    with pytest.raises(ComponentError, match="made for images"):
        gancore.load(
            Path(__file__).parents[1] / "examples" / "ring.toml", ['regularizer=[{name="diffaugment"}]']
        ).assemble()


def test_a_batch_of_one_with_batch_norm_is_refused_by_name(assemble: Assemble) -> None:
    overrides = ["train.batch_size=1", "model.norm=batch", "train.device=cpu"]
    with pytest.raises(ComponentError, match=r"model 'mlp': the generator failed: ValueError: Expected more than 1"):
        gancore.load(Path(__file__).parents[1] / "examples" / "digits.toml", overrides).assemble()
