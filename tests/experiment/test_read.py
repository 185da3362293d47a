"""What a valid experiment file means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gancore.errors import ExperimentError
from gancore.experiment import Experiment, Selection, Train, read
from gancore.registry import Registry

Read = Callable[..., Experiment]

PARTS = {
    "train": "[train]\nsteps = 3\n",
    "data": '[data]\nname = "digits"\n',
    "model": '[model]\nname = "mlp"\n',
    "loss": '[loss]\nname = "hinge"\n',
    "optimizer": '[optimizer]\nname = "adam"\n',
}


def experiment(*more: str, **parts: str) -> str:
    """A valid experiment with some of its tables replaced and others added."""
    return "".join({**PARTS, **parts}.values()) + "".join(more)


def told(selection: Selection | None) -> tuple[str, dict[str, Any]]:
    assert selection is not None
    return selection.name, selection.options


def test_the_least_that_must_be_said(read_text: Read) -> None:
    read = read_text(experiment())
    assert read.name == "my"
    assert read.source.endswith("my.toml")
    assert (read.train.steps, read.train.epochs, read.train.batch_size) == (3, None, 64)
    assert read.log.every == 50
    assert told(read.data) == ("digits", {})
    assert told(read.loss) == ("hinge", {})
    assert read.generator is read.discriminator
    assert read.optimizer_generator is read.optimizer_discriminator
    assert (read.regularizers, read.metrics, read.plugins) == ((), (), {})


def test_everything_that_can_be_said(read_text: Read) -> None:
    read = read_text(
        'name = "all of it"\n'
        + experiment(
            "[log]\nevery = 7\n",
            "[checkpoint]\nevery = 11\nkeep = 2\n",
            '[[regularizer]]\nname = "r1"\nevery = 16\n[[regularizer]]\nname = "gancore-clipping/autoclip"\n',
            '[[metric]]\nname = "mode-coverage"\n',
            '[[callback]]\nname = "stats"\n',
            '[plugins]\ngancore = "0.1.0"\n"with.dot" = "2"\n',
            train="[train]\nepochs = 2\nseed = 5\nema = 0\n",
        )
    )
    assert read.name == "all of it"
    assert (read.train.steps, read.train.epochs, read.train.seed, read.train.ema) == (None, 2.0, 5, 0.0)
    assert read.log.every == 7
    assert told(read.checkpoint) == ("checkpoint", {"every": 11, "keep": 2})
    assert [told(r) for r in read.regularizers] == [("r1", {"every": 16}), ("autoclip", {})]
    assert [r.path for r in read.regularizers] == [("regularizer", 0), ("regularizer", 1)]
    assert [m.name for m in read.metrics] == ["mode-coverage"]
    assert [c.name for c in read.callbacks] == ["stats"]
    assert read.plugins == {"gancore": "0.1.0", "with.dot": "2"}


def test_options_arrive_structured_in_the_component(read_text: Read) -> None:
    model = read_text(experiment(model='[model]\nname = "mlp"\nhidden = [8, 4]\n')).generator
    assert model is not None
    assert model.options == {"hidden": (8, 4)}
    assert model.create().hidden == (8, 4)
    assert model.create() is not model.create()


def test_the_selections_come_once_each_in_the_order_of_the_plan(read_text: Read) -> None:
    read = read_text(experiment('[[regularizer]]\nname = "r1"\n[[metric]]\nname = "mode-coverage"\n'))
    assert [s.name for s in read.selections if s.kind != "rule"] == [
        "digits", "mlp", "hinge", "adam", "r1", "mode-coverage", "progress", "tensorboard", "stats", "samples",
        "health", "checkpoint",
    ]  # fmt: skip
    assert read.selections[-len(read.rules) :] == read.rules


def test_how_the_tables_are_written_makes_no_difference(read_text: Read) -> None:
    read = read_text(
        'train.steps = 3\ndata = {name = "digits"}\nmodel = {name = "mlp", hidden = [8]}\nloss.name = "hinge"\n'
        'optimizer = {name = "adam", generator = {lr = 1}}\nregularizer = [{name = "r1"}, {name = "r2"}]\n'
    )
    assert read.train.steps == 3
    assert told(read.generator) == ("mlp", {"hidden": (8,)})
    assert told(read.optimizer_generator) == ("adam", {"lr": 1.0})
    assert [r.name for r in read.regularizers] == ["r1", "r2"]


def test_windows_lines_and_a_byte_order_mark_do_not_matter(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(("\ufeff" + experiment().replace("\n", "\r\n")).encode())
    assert read(str(file), registry).train.steps == 3


# ------------------------------------------------------------------------------------------- networks, optimizers


def test_generator_and_discriminator_may_come_from_two_models(read_text: Read) -> None:
    read = read_text(
        experiment(model='[generator]\nname = "mlp"\nhidden = [8]\n[discriminator]\nname = "gancore-mlp/mlp"\n')
    )
    assert told(read.generator) == ("mlp", {"hidden": (8,)})
    assert told(read.discriminator) == ("mlp", {})


def test_an_optimizer_of_ones_own_inherits_the_shared_options(read_text: Read) -> None:
    read = read_text(
        experiment(optimizer='[optimizer]\nname = "adam"\nlr = 1\nbeta1 = 0\n[optimizer.generator]\nlr = 2\n')
    )
    assert told(read.optimizer_generator) == ("adam", {"lr": 2.0, "beta1": 0.0})
    assert told(read.optimizer_discriminator) == ("adam", {"lr": 1.0, "beta1": 0.0})


def test_another_optimizer_inherits_nothing(read_text: Read) -> None:
    read = read_text(
        experiment(optimizer='[optimizer]\nname = "adam"\nbeta1 = 0\n[optimizer.discriminator]\nname = "sgd"\n')
    )
    assert told(read.optimizer_generator) == ("adam", {"beta1": 0.0})
    assert told(read.optimizer_discriminator) == ("sgd", {})


def test_two_optimizers_need_no_shared_one(read_text: Read) -> None:
    both = '[optimizer.generator]\nname = "adam"\n[optimizer.discriminator]\nname = "rmsprop"\nlr = 1\n'
    read = read_text(experiment(optimizer=both))
    assert told(read.optimizer_generator) == ("adam", {})
    assert told(read.optimizer_discriminator) == ("rmsprop", {"lr": 1.0})


def test_an_empty_table_for_a_network_changes_nothing(read_text: Read) -> None:
    both = '[optimizer]\nname = "adam"\n[optimizer.generator]\n'
    read = read_text(experiment(optimizer=both))
    assert read.optimizer_generator is read.optimizer_discriminator


# ----------------------------------------------------------------------------------------------------- companions


def test_wgan_gp_brings_its_penalty_with_its_weight(read_text: Read) -> None:
    (penalty,) = read_text(experiment(loss='[loss]\nname = "wgan-gp"\nweight = 3\n')).regularizers
    assert told(penalty) == ("wgan-gp", {"weight": 3.0})
    assert (penalty.kind, penalty.brought_by) == ("regularizer", ("loss",))


@pytest.mark.parametrize("name", ["wgan-gp", "gancore-penalties/wgan-gp"])
def test_a_table_of_the_same_name_takes_the_companions_place(name: str, read_text: Read) -> None:
    table = f'[[regularizer]]\nname = "{name}"\nevery = 4\n'
    (penalty,) = read_text(experiment(table, loss='[loss]\nname = "wgan-gp"\nweight = 3\n')).regularizers
    assert told(penalty) == ("wgan-gp", {"every": 4})
    assert (penalty.path, penalty.brought_by) == (("regularizer", 0), None)


def test_companions_come_after_what_the_file_names(read_text: Read) -> None:
    read = read_text(experiment('[[regularizer]]\nname = "autoclip"\n', loss='[loss]\nname = "wgan-gp"\n'))
    assert [r.name for r in read.regularizers] == ["autoclip", "wgan-gp"]


def test_a_companion_that_is_not_installed_is_a_problem_of_the_table_that_brings_it(
    tmp_path: Path, registry: Registry
) -> None:
    fewer = Registry(
        registry.plugins, tuple(o for o in registry.offers if o.plugin.distribution != "gancore-penalties"), ()
    )
    file = tmp_path / "my.toml"
    file.write_text(experiment(loss='[loss]\nname = "wgan-gp"\n'), "utf-8")
    with pytest.raises(ExperimentError) as caught:
        read(file, fewer)
    said, _, _ = str(caught.value).partition("; installed:")
    assert said == (
        f'{file}:8:8: loss.name: no regularizer "wgan-gp" is installed; '
        "gancore-penalties brings it: python -m pip install gancore-penalties"
    )


@pytest.mark.parametrize(
    ("companions", "reason"),
    [
        ('(Companion("gizmo", "r1"),)', "ValueError"),
        ("5", "TypeError: 'int' object is not iterable"),
        ("undefined_name", "NameError: name 'undefined_name' is not defined"),
    ],
)
def test_companions_that_break_are_a_problem_of_the_table_and_name_the_plugin(
    companions: str, reason: str, install: Callable[..., None], tmp_path: Path
) -> None:
    source = f"""
from gancore import Companion, Component, component, hookimpl

@component
class Clingy:
    "A loss."

    @property
    def companions(self):
        return {companions}

@hookimpl
def gancore_losses():
    return [Component("clingy", "clingy:Clingy", "Brings something odd.")]
"""
    install("clingy-losses", clingy=source)
    file = tmp_path / "my.toml"
    file.write_text(experiment(loss='[loss]\nname = "clingy"\n'), "utf-8")
    with pytest.raises(ExperimentError) as caught:
        read(file, Registry.discover())
    assert str(caught.value).startswith(
        f"{file}:7:2: loss: loss 'clingy' of clingy-losses 1.0: its companions: {reason}"
    )


# ------------------------------------------------------------------------------------------------------- callbacks


def test_without_callbacks_the_default_ones_come(read_text: Read) -> None:
    names = [c.name for c in read_text(experiment()).callbacks]
    assert names == ["progress", "tensorboard", "stats", "samples", "health"]


def test_with_callbacks_only_those_come(read_text: Read) -> None:
    read = read_text(experiment('[[callback]]\nname = "samples"\nevery = 5\n'))
    assert [told(c) for c in read.callbacks] == [("samples", {"every": 5})]


def test_no_callback_at_all(read_text: Read) -> None:
    assert read_text("callback = []\n" + experiment()).callbacks == ()


def test_checkpoints_are_written_unless_another_component_takes_their_place(read_text: Read) -> None:
    assert told(read_text(experiment()).checkpoint) == ("checkpoint", {})
    assert told(read_text(experiment('[checkpoint]\nname = "stats"\n')).checkpoint) == ("stats", {})


# ----------------------------------------------------------------------------------------------------------- name


def test_the_files_name_names_the_run(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "größer.v2.toml"
    file.write_text(experiment(), "utf-8")
    assert read(file, registry).name == "größer.v2"


@pytest.mark.parametrize("name", ["a", "a b", "ä" * 100, "数.1", "-"])
def test_names(name: str, read_text: Read) -> None:
    assert read_text(f'name = "{name}"\n' + experiment()).name == name


# ------------------------------------------------------------------------------------------- objects from a script


def test_what_is_provided_may_be_missing(read_text: Read) -> None:
    read = read_text(experiment(data="", model=""), provided=("data", "generator", "discriminator"))
    assert (read.data, read.generator, read.discriminator) == (None, None, None)


def test_what_is_provided_may_be_there(read_text: Read) -> None:
    assert told(read_text(experiment(), provided=("data",)).data) == ("digits", {})


def test_one_network_provided_leaves_the_other_to_be_named(read_text: Read) -> None:
    read = read_text(experiment(model='[discriminator]\nname = "mlp"\n'), provided=("generator",))
    assert read.generator is None
    assert told(read.discriminator) == ("mlp", {})
    with pytest.raises(ExperimentError, match=r":1:1: missing table \[discriminator\]$"):
        read_text(experiment(model=""), provided=("generator",))


def test_the_settings_know_their_defaults() -> None:
    train = Train(steps=1)
    assert (train.device, train.precision, train.ema, train.ema_ramp, train.workers) == (
        "auto", "fp32", 10_000.0, 0.05, 2
    )  # fmt: skip
