"""`--set KEY=VALUE` changes one value of a file before it is read."""

from collections.abc import Callable
from typing import Any

import pytest

from gancore.errors import ExperimentError
from gancore.experiment import Experiment, override
from gancore.experiment.path import Path

TEXT = """\
[train]
steps = 3
[data]
name = "digits"
[model]
name = "mlp"
[loss]
name = "hinge"
[optimizer]
name = "adam"
[[regularizer]]
name = "r1"
[[regularizer]]
name = "r2"
"""


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("train.steps=100", ("train", "steps"), 100),
        (" train . steps = 100 ", ("train", "steps"), 100),
        ("optimizer.lr=1e-3", ("optimizer", "lr"), 1e-3),
        ("model.conditional=true", ("model", "conditional"), True),
        ("model.hidden=[1, 2]", ("model", "hidden"), [1, 2]),
        ("data.name=ring", ("data", "name"), "ring"),
        ('data.name="ring"', ("data", "name"), "ring"),
        ("data.root=/a=b", ("data", "root"), "/a=b"),
        ("data.root='2024'", ("data", "root"), "2024"),
        ("data.root=", ("data", "root"), ""),
        ("data={name = 'ring', modes = 4}", ("data",), {"name": "ring", "modes": 4}),
        ("regularizer.0.gamma=1", ("regularizer", 0, "gamma"), 1),
        ("regularizer[0].gamma=1", ("regularizer", 0, "gamma"), 1),
        ("callback=[]", ("callback",), []),
        pytest.param("train.seed=" + "9" * 5000, ("train", "seed"), "9" * 5000, id="5000 digits"),
        pytest.param("9" * 5000 + "=1", ("9" * 5000,), 1, id="a key of 5000 digits"),
        pytest.param("x=" + "[" * 5000, ("x",), "[" * 5000, id="5000 brackets"),
    ],
)
def test_a_key_and_a_value_of_toml_or_else_text(text: str, path: Path, value: Any) -> None:
    assert override.parse(text) == (path, value)


@pytest.mark.parametrize("text", ["", "train.steps", "=3", "train.=3", ".steps=3", "train..steps=3"])
def test_what_is_no_key_and_value(text: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        override.parse(text)
    assert str(caught.value) == f"--set {text}: expected KEY=VALUE, such as train.steps=100"


def test_a_value_is_changed_and_tables_are_made_on_the_way() -> None:
    tables: dict[str, Any] = {"a": [{"b": 1}]}
    override.apply(tables, ("a", 0, "b"), 2, "")
    override.apply(tables, ("c", "d"), 3, "")
    assert tables == {"a": [{"b": 2}], "c": {"d": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.steps.x=1", "train.steps: is no table"),
        ("regularizer.gamma=1", "regularizer: is an array of 2; say which, from 0"),
        ("regularizer.2.gamma=1", "regularizer: is an array of 2; say which, from 0"),
        ("regularizer[0].name.x=1", "regularizer[0].name: is no table"),
        ("metric.0.name=x", 'metric: is not in the file; write all of it, such as metric=[{name = "..."}]'),
        ("train.steps=x", "train.steps: expected an integer, got a string ('x')"),
        ("train.stps=1", 'train.stps: unknown option; did you mean "steps"?'),
        ("train=1", "train: expected a table: write [train]"),
        ("regularizer[1].gamma=-1", "regularizer[1].gamma: must be >= 0: -1.0"),
        ("checkpoint.evry=1", 'checkpoint.evry: unknown option; did you mean "every"?'),
    ],
)
def test_a_mistake_is_shown_where_it_was_written(text: str, message: str, read_text: Callable[..., Experiment]) -> None:
    with pytest.raises(ExperimentError) as caught:
        read_text(TEXT, text)
    assert str(caught.value) == f"--set {text}: {message}"


def test_overrides_are_applied_in_order(read_text: Callable[..., Experiment]) -> None:
    experiment = read_text(
        TEXT, "train.steps=5", "train.steps=7", "regularizer[1].gamma=4", "data.name=ring", "log.every=2"
    )
    assert experiment.train.steps == 7
    assert [r.options for r in experiment.regularizers] == [{}, {"gamma": 4.0}]
    assert experiment.data is not None
    assert experiment.data.name == "ring"
    assert experiment.log.every == 2


def test_an_override_mends_a_mistake_of_the_file(read_text: Callable[..., Experiment]) -> None:
    assert read_text(TEXT.replace("steps = 3", 'steps = "3"'), "train.steps=4").train.steps == 4
