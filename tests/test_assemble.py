"""Assembling: what was selected or handed in is plugged together, or it is said what does not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

import gancore
from gancore import ComponentError, DataError, DataSpec, ExperimentError, RunFolderError, UserError
from gancore.assemble.build import choose_device, plan_steps
from gancore.experiment import Train
from gancore.training.run import Run

MLP = """
[train]
steps = 4
batch_size = 8
device = "cpu"
[data]
name = "digits"
[model]
name = "mlp"
latent_dim = 8
hidden = [16]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
lr = 1e-3
"""
DATA, MODEL = '[data]\nname = "digits"\n', '[model]\nname = "mlp"\nlatent_dim = 8\nhidden = [16]\n'

Assemble = Callable[..., Run]


@pytest.fixture
def assemble(tmp_path: Path) -> Assemble:
    def build(text: str, *overrides: str, out: Path | None = None, **objects: Any) -> Run:
        file = tmp_path / "experiment.toml"
        file.write_text(text)
        return gancore.load(file, overrides).assemble(out=out, **objects)

    return build


def regularized(*tables: str, text: str = MLP) -> str:
    return text + "".join(f"[[regularizer]]\n{table}\n" for table in tables)


class Plain(nn.Module):
    """A generator or discriminator as a script's author would write it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layer(x) if self.outputs > 1 else self.layer(x).squeeze(1)


# ------------------------------------------------------------------------------------------------ device, length


def test_a_device_of_another_type_is_refused() -> None:
    for wanted in ("gpu", "mps", "cuda:x", "meta", ""):
        with pytest.raises(UserError) as caught:
            choose_device(wanted)
        assert str(caught.value) == f'train.device: expected "auto", "cpu", "cuda" or "cuda:N", got "{wanted}"'


def test_a_gpu_that_is_not_there_is_refused() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(UserError) as caught:
        choose_device(f"cuda:{count}")
    assert str(caught.value) == (
        f'train.device: "cuda:{count}" is not there; torch sees {count} CUDA devices. "auto" takes what there is'
    )


def test_auto_is_a_gpu_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("epochs", "n_critic", "steps"),
    [
        (1, 1, 28),  # 1797 // 64 batches an epoch
        (10, 1, 280),
        (10, 5, 56),  # an epoch is a pass of D
        (0.5, 1, 14),
        (0.001, 1, 1),  # at least one
    ],
)
def test_epochs_are_passes_of_the_discriminator_over_whole_batches(epochs: float, n_critic: int, steps: int) -> None:
    assert plan_steps(Train(epochs=epochs, n_critic=n_critic, batch_size=64), 1797) == steps


def test_steps_do_not_depend_on_the_data() -> None:
    assert plan_steps(Train(steps=7), 10) == plan_steps(Train(steps=7), 10_000) == 7


def test_a_run_of_epochs_knows_its_steps(assemble: Assemble) -> None:
    assert assemble(MLP.replace("steps = 4", "epochs = 2")).steps == 2 * (1797 // 8)


# ------------------------------------------------------------------------------------------------ objects handed in


def test_networks_and_tensors_of_a_script_train(assemble: Assemble) -> None:
    generator, discriminator = Plain(3, 2), Plain(2, 1)
    before = generator.layer.weight.detach().clone()
    data = TensorDataset(torch.randn(32, 2))
    run = assemble(
        MLP.replace(DATA, "").replace(MODEL, ""),
        generator=generator,
        discriminator=discriminator,
        data=data,
        latent_dim=3,
    )
    run.advance(2)
    assert run.data == DataSpec((2,), 0, None)
    assert run.discriminator is discriminator
    assert not torch.equal(generator.layer.weight, before)


def test_the_length_of_z_is_read_off_the_generator(assemble: Assemble) -> None:
    generator = Plain(5, 2)
    generator.latent_dim = 5  # type: ignore[assignment]
    text = MLP.replace(DATA, "").replace(MODEL, "")
    run = assemble(text, generator=generator, discriminator=Plain(2, 1), data=TensorDataset(torch.randn(32, 2)))
    assert run.latents(4, 0)[0].shape == (4, 5)


def test_a_generator_without_latent_dim_is_refused(assemble: Assemble) -> None:
    with pytest.raises(UserError) as caught:
        assemble(MLP.replace(MODEL, ""), generator=Plain(5, 64), discriminator=Plain(64, 1))
    assert str(caught.value) == "the generator has no attribute latent_dim; hand latent_dim=... to assemble"


def test_an_object_takes_the_place_of_the_files_component(assemble: Assemble) -> None:
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))

    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = discriminator

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return self.inner(x)

    run = assemble(MLP, discriminator=Scores())
    run.advance(1)
    assert sum(p.numel() for p in run.discriminator.parameters()) == 65


@pytest.mark.parametrize(
    ("tensors", "spec"),
    [
        ((torch.zeros(16, 3, 4, 4, dtype=torch.uint8),), DataSpec((3, 4, 4), 0, (-1.0, 1.0))),
        ((torch.zeros(16, 5),), DataSpec((5,), 0, None)),
        ((torch.zeros(16, 5), torch.arange(16) % 7), DataSpec((5,), 7, None)),
    ],
)
def test_the_spec_is_read_off_tensors(tensors: tuple[Tensor, ...], spec: DataSpec, assemble: Assemble) -> None:
    assert assemble(MLP.replace(DATA, ""), data=TensorDataset(*tensors)).data == spec


class Streamed(Dataset[tuple[Tensor]]):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[Tensor]:
        return (torch.full((2,), float(index)),)


def test_other_data_need_a_spec(assemble: Assemble) -> None:
    with pytest.raises(UserError, match=r"hand spec=gancore\.DataSpec\(\.\.\.\) to assemble"):
        assemble(MLP.replace(DATA, ""), data=Streamed())
    run = assemble(MLP.replace(DATA, ""), "train.workers=0", data=Streamed(), spec=DataSpec((2,), range=None))
    run.advance(1)


def test_a_spec_that_the_data_do_not_keep_is_refused(assemble: Assemble) -> None:
    with pytest.raises(DataError) as caught:
        assemble(MLP.replace(DATA, ""), data=Streamed(), spec=DataSpec((3,), range=None))
    assert str(caught.value) == (
        "the data set says its samples are (3,) torch.float32, but the first one is (2,) torch.float32"
    )


@pytest.mark.parametrize("samples", [0, 7])
def test_fewer_samples_than_a_batch_are_refused(samples: int, assemble: Assemble) -> None:
    data = TensorDataset(torch.zeros(samples, 2), torch.zeros(samples, dtype=torch.int64))
    with pytest.raises(DataError) as caught:
        assemble(MLP.replace(DATA, ""), data=data)
    assert str(caught.value) == (
        f"the data have {samples} samples, fewer than train.batch_size = 8; choose a smaller one"
    )


def test_all_that_is_missing_is_named_at_once(assemble: Assemble, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as caught:
        assemble(MLP.replace(DATA, "").replace(MODEL, ""))
    assert [problem.message for problem in caught.value.problems] == [
        "missing table [data] (or hand data=... to assemble)",
        "missing table [discriminator] (or hand discriminator=... to assemble)",
        "missing table [generator] (or hand generator=... to assemble)",
    ]
    assert all(problem.source == str(tmp_path / "experiment.toml") for problem in caught.value.problems)


def test_only_what_is_missing_is_named(assemble: Assemble) -> None:
    with pytest.raises(ExperimentError) as caught:
        assemble(MLP.replace(MODEL, ""), generator=Plain(2, 64))
    assert [problem.message for problem in caught.value.problems] == [
        "missing table [discriminator] (or hand discriminator=... to assemble)"
    ]


# ---------------------------------------------------------------------------------------- models that do not fit

ODD_MODELS = '''
import gancore
import torch
from torch import nn
from gancore import Component, component, option


@gancore.hookimpl
def gancore_models():
    return [Component("odd", "odd:Odd", "Wrong in a way to choose.")]


class Constant(nn.Module):
    def __init__(self, shape, trainable=True):
        super().__init__()
        self.shape = shape
        if trainable:
            self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x, y=None):
        return x.new_zeros(len(x), *self.shape) + getattr(self, "weight", 0)


@component
class Odd:
    """For tests."""

    latent_dim: int = option(3, "Numbers in z.")
    made: tuple[int, ...] = option((1, 8, 8), "Shape of fakes.")
    scored: tuple[int, ...] = option((), "Shape of a score.")
    without: str = option("", "The network that has no parameters.")
    nothing: bool = option(False, "generator() returns None.")

    def generator(self, data):
        return None if self.nothing else Constant(self.made, self.without != "generator")

    def discriminator(self, data):
        return Constant(self.scored, self.without != "discriminator")
'''


def odd(*options: str) -> str:
    return MLP.replace(MODEL, "\n".join(["[model]", 'name = "odd"', *options, ""]))


@pytest.fixture
def odd_models(install: Callable[..., None]) -> None:
    install("odd-models", odd=ODD_MODELS)


@pytest.mark.usefixtures("odd_models")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("made = [1, 8, 9]", "model 'odd': the generator makes (1, 8, 9), the data are (1, 8, 8)"),
        ("made = [64]", "model 'odd': the generator makes (64,), the data are (1, 8, 8)"),
        (
            "scored = [1]",
            "model 'odd': the discriminator gives scores of shape (4, 1) for 4 samples; expected (4,)",
        ),
        ("nothing = true", "model 'odd': generator() returned NoneType, not a torch.nn.Module"),
        ('without = "generator"', "the generator has no parameter to train"),
        ('without = "discriminator"', "the discriminator has no parameter to train"),
    ],
)
def test_a_model_that_breaks_its_contract_is_named(option: str, message: str, assemble: Assemble) -> None:
    with pytest.raises(ComponentError) as caught:
        assemble(odd(option))
    assert str(caught.value) == message


@pytest.mark.usefixtures("odd_models")
def test_the_networks_of_two_models_play_together(assemble: Assemble) -> None:
    text = MLP.replace(MODEL, '[generator]\nname = "odd"\n[discriminator]\nname = "mlp"\nhidden = [16]\n')
    run = assemble(text)
    run.advance(1)
    assert type(run.generator).__name__ == "Constant"
    assert run.latents(2, 0)[0].shape == (2, 3)


def test_a_conditional_model_needs_labels(assemble: Assemble) -> None:
    text = MLP.replace(DATA, "").replace("[16]", "[16]\nconditional = true")
    with pytest.raises(ComponentError, match="needs labels, but the data have none"):
        assemble(text, data=TensorDataset(torch.zeros(16, 2)))


# ------------------------------------------------------------------------------------------------- regularizers


def keys(run: Run) -> dict[str, list[str]]:
    players = (run.game.discriminator, run.game.generator)
    return {player.role: [regularizer.key for regularizer in player.regularizers] for player in players}


def test_the_same_regularizer_twice_gets_two_keys(assemble: Assemble) -> None:
    run = assemble(regularized('name = "r1"', 'name = "r2"', 'name = "r1"\nevery = 4', 'name = "r1"'))
    assert keys(run) == {"discriminator": ["r1", "r2", "r1-2", "r1-3"], "generator": []}
    run.advance(1)
    assert {"penalty/r1", "penalty/r1-2", "penalty/r1-3", "penalty/r2"} <= set(run.look())


def test_twins_have_random_streams_of_their_own(assemble: Assemble) -> None:
    run = assemble(regularized('name = "instance-noise"', 'name = "instance-noise"'))
    first, second = (regularizer.context.rng.get_state() for regularizer in run.game.discriminator.regularizers)
    assert not torch.equal(first, second)


def test_on_both_is_one_instance_per_network(assemble: Assemble) -> None:
    run = assemble(regularized('name = "gradient-clipping"\non = "both"', 'name = "autoclip"\non = "generator"'))
    assert keys(run) == {"discriminator": ["gradient-clipping"], "generator": ["gradient-clipping", "autoclip"]}
    (ours,), (theirs, _) = run.game.discriminator.regularizers, run.game.generator.regularizers
    assert ours.component is not theirs.component
    assert not torch.equal(ours.context.rng.get_state(), theirs.context.rng.get_state())


def adam_of(run: Run, role: str) -> tuple[float, tuple[float, float]]:
    group = getattr(run.game, role).optimizer.param_groups[0]
    return group["lr"], group["betas"]


def test_a_lazy_penalty_corrects_the_optimizer_of_its_network(assemble: Assemble) -> None:
    run = assemble(regularized('name = "r1"\nevery = 16'))
    lr, betas = adam_of(run, "discriminator")
    assert lr == pytest.approx(1e-3 * 16 / 17, rel=1e-12)
    assert betas == pytest.approx((0.5 ** (16 / 17), 0.999 ** (16 / 17)), rel=1e-12)
    assert adam_of(run, "generator") == (1e-3, (0.5, 0.999))


def test_the_most_frequent_lazy_penalty_counts(assemble: Assemble) -> None:
    run = assemble(regularized('name = "r1"\nevery = 16', 'name = "r2"\nevery = 4', 'name = "dragan"'))
    assert adam_of(run, "discriminator")[0] == pytest.approx(1e-3 * 4 / 5, rel=1e-12)


def test_a_penalty_of_every_phase_corrects_nothing(assemble: Assemble) -> None:
    assert adam_of(assemble(regularized('name = "r1"')), "discriminator") == (1e-3, (0.5, 0.999))


def test_what_regularizers_do_to_a_network_reaches_its_optimizer(assemble: Assemble) -> None:
    run = assemble(regularized('name = "spectral-norm"'))
    trained = {id(p) for group in run.game.discriminator.optimizer.param_groups for p in group["params"]}
    assert trained == {id(parameter) for parameter in run.discriminator.parameters()}
    assert any("parametrizations" in name for name, _ in run.discriminator.named_parameters())


# -------------------------------------------------------------------------------------------------- the run folder


def test_assembling_and_advancing_leave_no_trace(assemble: Assemble, tmp_path: Path) -> None:
    run = assemble(MLP, out=tmp_path / "run")
    run.advance(1)
    assert not (tmp_path / "run").exists()
    assert run.folder == tmp_path / "run"
    assert [path.name for path in run.folder.iterdir()] == ["experiment.toml"]


def test_the_folders_experiment_reads_as_the_same_run(assemble: Assemble, tmp_path: Path) -> None:
    run = assemble(regularized('name = "r1"\nevery = 4'), "train.seed=5", out=tmp_path / "run")
    again = gancore.load(run.folder / "experiment.toml").assemble()
    for one in (run, again):
        one.advance(3)
    assert again.text == run.text
    for ours, theirs in zip(run.generator.parameters(), again.generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_folders_are_numbered_after_the_last(
    assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("experiment-1", "experiment-9", "experiment-x", "experiment-2-10", "other-20"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert [assemble(MLP).folder.name for _ in range(2)] == ["experiment-10", "experiment-11"]


def test_a_folder_that_holds_something_is_refused_and_left_alone(assemble: Assemble, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="run: is not empty; choose another --out, or go on with `gancore resume`"):
        _ = assemble(MLP, out=tmp_path / "run").folder
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_file_in_the_folders_place_is_refused(assemble: Assemble, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunFolderError, match="run: cannot be made: File exists"):
        _ = assemble(MLP, out=tmp_path / "run").folder
