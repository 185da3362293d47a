"""What `gancore init` writes."""

import re
import tomllib
from collections.abc import Callable
from typing import Any, Literal

import pytest

from gancore import component, option, required
from gancore.components import options_of
from gancore.errors import ComponentError
from gancore.experiment import Experiment, Train
from gancore.experiment.template import _comments, template
from gancore.registry import Registry

Read = Callable[..., Experiment]

DEFAULT = {"data": "digits", "model": "mlp", "loss": "wgan-gp", "optimizer": "adam"}
CHOICES = [
    pytest.param(DEFAULT | change, id="-".join(change.values()) or "default")
    for change in (
        {}, {"data": "ring"}, {"data": "mnist"}, {"data": "image-folder"}, {"model": "dcgan"}, {"loss": "relativistic"},
        {"loss": "gancore-losses/lsgan"}, {"optimizer": "sgd"}, {"optimizer": "subgradient"},
        {"data": "swiss-roll", "model": "dcgan", "loss": "hinge", "optimizer": "rmsprop"},
    )
]  # fmt: skip
KIND = {"data": "dataset", "model": "model", "loss": "loss", "optimizer": "optimizer"}


@pytest.mark.parametrize("names", CHOICES)
def test_it_is_an_experiment_as_it_stands(names: dict[str, str], registry: Registry, read_text: Read) -> None:
    experiment = read_text(template(registry, names))
    assert experiment.train.steps == 4000
    for table, selection in (
        ("data", experiment.data),
        ("model", experiment.generator),
        ("loss", experiment.loss),
        ("optimizer", experiment.optimizer_generator),
    ):
        assert selection is not None
        assert names[table] in (selection.name, selection.offer.qualified_name)


@pytest.mark.parametrize("names", CHOICES)
def test_taking_away_every_comment_sign_changes_nothing(
    names: dict[str, str], registry: Registry, read_text: Read
) -> None:
    text = template(registry, names)
    plain, full = read_text(text), read_text(re.sub(r"(?m)^# (\w+ = (?!\.\.\.).*|\[\[.*)$", r"\1", text))
    assert [regularizer.name for regularizer in full.regularizers][:1] == ["r1"]
    for a, b in zip(plain.selections[:4], full.selections[:4], strict=True):
        for field in options_of(a.cls):
            assert getattr(a.create(), field.name) == getattr(b.create(), field.name)
    assert all(getattr(plain.train, f.name) == getattr(full.train, f.name) for f in options_of(Train))


@pytest.mark.parametrize("names", CHOICES)
def test_every_option_stands_in_it_once_in_its_table(names: dict[str, str], registry: Registry) -> None:
    text = template(registry, names)
    tables = dict(re.findall(r"(?m)^\[(\w+)\]\n((?:.+\n)*)", text))
    for table, name in names.items():
        found = re.findall(r"(?m)^(?:# )?(\w+) = ", tables[table])
        assert found == ["name", *(f.name for f in options_of(registry.find(KIND[table], name).load()))]  # type: ignore[arg-type]
    train = [f.name for f in options_of(Train) if f.name not in ("steps", "epochs")]
    assert re.findall(r"(?m)^(?:# )?(\w+) = ", tables["train"]) == ["steps", *train]


@pytest.mark.parametrize("names", CHOICES)
def test_no_line_is_too_long_to_read(names: dict[str, str], registry: Registry) -> None:
    assert max(map(len, template(registry, names).split("\n"))) <= 100


def test_a_required_option_is_there_to_be_filled_in(registry: Registry) -> None:
    text = template(registry, DEFAULT | {"data": "image-folder"})
    assert 'root = "..."  # To fill in: Folder of the images; searched with all folders below it.\n' in text


@pytest.mark.parametrize("table", DEFAULT)
def test_a_component_that_is_not_installed(table: str, registry: Registry) -> None:
    with pytest.raises(ComponentError, match=f'^no {KIND[table]} "unicorn" is installed; installed: '):
        template(registry, DEFAULT | {table: "unicorn"})


@component
class Odd:
    """Every way in which an option can stand in a template."""

    count: int = required("How many.")
    choice: Literal["a", "b"] = required("Which.")
    many: tuple[int, ...] = required("Several.")
    unset: float | None = option(None, "Nothing by default.")
    quoted: str = option('"\\\n', "A strange default.")
    array: tuple[str, ...] = option(("a", "b"), "Two.")
    explained: bool = option(True, "A long story,\n        " + "word " * 40 + "end.")
    secret: int = option(1, "")


def test_the_form_of_each_option() -> None:
    assert _comments(Odd) == [
        "count = 1  # To fill in: How many.",
        'choice = "a"  # To fill in: Which.',
        "many = []  # To fill in: Several.",
        "# unset = ...  # Nothing by default. (number)",
        r'# quoted = "\"\\\n"  # A strange default.',
        '# array = ["a", "b"]  # Two.',
        "#   A long story, " + "word " * 15 + "word",
        "#   " + "word " * 18 + "word",
        "#   " + "word " * 5 + "end.",
        "# explained = true",
        "# secret = 1",
    ]


def test_the_form_is_toml() -> None:
    lines: list[Any] = [line.removeprefix("# ") for line in _comments(Odd) if " = " in line and " ... " not in line]
    assert tomllib.loads("\n".join(lines))["quoted"] == '"\\\n'
