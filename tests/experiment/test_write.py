"""The resolved experiment in a run folder: reading it gives the same experiment."""

import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gancore.components import options_of
from gancore.experiment import Experiment, Selection, read
from gancore.experiment.write import write
from gancore.registry import Registry

Read = Callable[..., Experiment]

TEXT = """\
[train]
steps = 3
[data]
name = "digits"
[model]
name = "mlp"
[loss]
name = "wgan-gp"
[optimizer]
name = "adam"
"""


def resolved(selection: Selection | None) -> Any:
    """A selection with every option's value."""
    if selection is None:
        return None
    made = selection.create()
    return selection.offer, {field.name: getattr(made, field.name) for field in options_of(selection.cls)}


def essence(experiment: Experiment) -> dict[str, Any]:
    """Everything that makes an experiment the one it is: not where it was read, and not who brought what."""
    single = ("loss", "optimizer_generator", "optimizer_discriminator", "checkpoint", "data", "generator",
              "discriminator")  # fmt: skip
    found = {name: resolved(getattr(experiment, name)) for name in single}
    many = ("regularizers", "metrics", "callbacks", "rules")
    found |= {kinds: [resolved(selection) for selection in getattr(experiment, kinds)] for kinds in many}
    for name, settings_of in (("train", experiment.train), ("log", experiment.log), ("health", experiment.health)):
        found[name] = {field.name: getattr(settings_of, field.name) for field in options_of(type(settings_of))}
    found["shared"] = (
        experiment.generator is experiment.discriminator,
        experiment.optimizer_generator is experiment.optimizer_discriminator,
    )
    return {"name": experiment.name, **found}


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples(file: Path, registry: Registry, read_text: Read) -> None:
    experiment = read(file, registry)
    assert essence(read_text(write(experiment))) == essence(experiment)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TEXT, id="the least"),
        pytest.param("callback = []\n" + TEXT, id="no callbacks"),
        pytest.param('name = "größe \\" \\\\ 数"\n' + TEXT, id="a name to be escaped"),
        pytest.param(TEXT.replace("steps = 3", "epochs = 2.5\nema = 0"), id="epochs"),
        pytest.param(TEXT + "[optimizer.generator]\nlr = 1\n", id="one optimizer changed"),
        pytest.param(TEXT + '[optimizer.discriminator]\nname = "sgd"\n', id="two optimizers"),
        pytest.param(
            TEXT.replace("[model]", "[generator]") + '[discriminator]\nname = "mlp"\nhidden = [3]\n', id="two models"
        ),
        pytest.param(TEXT + '[[regularizer]]\nname = "wgan-gp"\nweight = 1\n[[regularizer]]\nname = "autoclip"\n',
                     id="regularizers"),
        pytest.param(TEXT + '[[regularizer]]\nname = "r1"\n[[regularizer]]\nname = "r1"\ngamma = 2\n', id="one twice"),
        pytest.param(TEXT + '[[callback]]\nname = "stats"\n[checkpoint]\nkeep = 9\n', id="callbacks"),
        pytest.param(TEXT + '[[metric]]\nname = "mode-coverage"\nsigma = 0.5\n', id="metrics"),
        pytest.param(TEXT + '[health]\nprobe = false\naction = "stop"\nevery = 7\n', id="health"),
        pytest.param(TEXT + '[health]\nignore = ["exploding", "lr-too-low"]\n', id="rules ignored"),
        pytest.param(TEXT + "[health.exploding]\nhuge = 1\n[health.d-dominates]\nauc = 0.9\n", id="thresholds"),
        pytest.param(
            TEXT.replace('"digits"', '"image-folder"\nroot = "C:\\\\ä\\u0001\\u007f\\n\\"x"'), id="a strange folder"
        ),
    ],
)  # fmt: skip
def test_reading_what_was_written_gives_the_same_experiment(text: str, read_text: Read) -> None:
    experiment = read_text(text)
    once = write(experiment)
    again = read_text(once)
    assert essence(again) == essence(experiment)
    assert write(again) == once


def test_without_data_and_networks_which_a_script_handed_in(read_text: Read) -> None:
    provided = ("data", "generator", "discriminator")
    text = TEXT.replace('[data]\nname = "digits"\n[model]\nname = "mlp"\n', "")
    experiment = read_text(text, provided=provided)
    assert essence(read_text(write(experiment), provided=provided)) == essence(experiment)


def test_every_option_is_spelled_out_under_a_qualified_name(read_text: Read) -> None:
    written = tomllib.loads(write(read_text('name = "x"\n' + TEXT)))
    assert written["data"] == {"name": "gancore-digits/digits", "split": "all"}
    assert written["loss"] == {"name": "gancore-losses/wgan-gp", "weight": 10.0}
    assert written["checkpoint"] == {
        "name": "gancore/checkpoint", "every": 1000, "keep": 3, "best": "", "best_is": "lowest",
    }  # fmt: skip
    assert written["log"] == {"every": 50}
    assert written["train"] == {
        "steps": 3, "batch_size": 64, "n_critic": 1, "seed": 0, "device": "auto", "precision": "fp32",
        "compile": "auto", "capture": "auto", "threads": "auto", "one_pass": "auto", "memory_format": "auto",
        "deterministic": True, "ema": 10_000.0, "ema_ramp": 0.05, "held_out": 0, "damaged": "stop", "strict": False,
        "grace": 60.0, "workers": 2,
    }  # fmt: skip
    assert written["regularizer"] == [
        {"name": "gancore-penalties/wgan-gp", "on": "discriminator", "weight": 10.0, "every": 1}
    ]
    assert [callback["name"] for callback in written["callback"]] == [
        "gancore/progress", "gancore/tensorboard", "gancore/stats", "gancore/samples", "gancore/health",
    ]  # fmt: skip


def test_the_versions_of_all_distributions_involved(read_text: Read) -> None:
    names = ("gancore", "gancore-digits", "gancore-losses", "gancore-mlp", "gancore-optimizers", "gancore-penalties")
    assert tomllib.loads(write(read_text(TEXT)))["plugins"] == {name: version(name) for name in names}


def toml(value: Any) -> str:
    """A Python value in TOML, by other means than the tested ones."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return repr(value)


POSITIVE = st.floats(1e-300, 1e300)
OPTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "data": {
        "root": st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        "size": st.integers(1, 2**16),
        "labels": st.booleans(),
        "channels": st.sampled_from(["rgb", "grayscale"]),
    },
    "model": {
        "hidden": st.lists(st.integers(1, 2**40), min_size=1, max_size=4),
        "discriminator_hidden": st.lists(st.integers(1, 9), min_size=1, max_size=4),
        "conditional": st.booleans(),
    },
    "optimizer": {"lr": POSITIVE, "beta1": st.floats(0, 0.999), "warmup": st.integers(0, 2**62)},
    "train": {"seed": st.integers(0, 2**63 - 1), "ema": st.floats(0, 1e300), "device": st.text("aä\"\\\n'\t")},
}
REQUIRED = {"data": ("root",)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tables=st.fixed_dictionaries(
        {
            table: st.fixed_dictionaries(
                {k: v for k, v in options.items() if k in REQUIRED.get(table, ())},
                optional={k: v for k, v in options.items() if k not in REQUIRED.get(table, ())},
            )
            for table, options in OPTIONS.items()
        }
    )
)
def test_every_value_survives(tables: dict[str, dict[str, Any]], read_text: Read) -> None:
    text = TEXT.replace('"digits"', '"image-folder"')
    for table, options in tables.items():
        lines = "".join(f"{key} = {toml(value)}\n" for key, value in options.items())
        text = text.replace(f"[{table}]\n", f"[{table}]\n{lines}")
    experiment = read_text(text)
    assert essence(read_text(write(experiment))) == essence(experiment)
