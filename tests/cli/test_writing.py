"""`gancore init` and `gancore schema`: files to start from."""

import json
from pathlib import Path
from typing import Any

import jsonschema

Gancore = Any


def test_init_writes_an_experiment_that_can_be_trained(gancore: Gancore, tmp_path: Path) -> None:
    said = gancore("init", "my.toml")
    assert (said.code, said.err) == (0, "")
    assert said.out == "my.toml: now `gancore check my.toml`, then `gancore train my.toml`\n"
    assert gancore("check", "my.toml").code == 0
    assert gancore("train", "my.toml", "--set", "train.steps=1", "--set", "train.device=cpu").out == "runs/my-1\n"


def test_init_takes_the_components_that_are_named(gancore: Gancore) -> None:
    assert gancore("init", "rings.toml", "--data", "ring", "--loss", "relativistic", "--optimizer", "sgd").code == 0
    out = gancore("check", "rings.toml").out
    assert "\ndata         ring " in out
    assert "\nloss         relativistic " in out
    assert "\noptimizer    sgd " in out


def test_init_leaves_a_file_that_exists_alone(gancore: Gancore, tiny: Path) -> None:
    before = tiny.read_bytes()
    said = gancore("init", "tiny.toml")
    assert (said.code, said.out, said.err) == (2, "", "tiny.toml: exists already; it is left as it is\n")
    assert tiny.read_bytes() == before


def test_init_says_why_it_cannot_write(gancore: Gancore) -> None:
    said = gancore("init", "nowhere/my.toml")
    assert (said.code, said.err) == (2, "nowhere/my.toml: cannot be written: No such file or directory\n")


def test_init_of_what_is_not_installed_writes_nothing(gancore: Gancore, tmp_path: Path) -> None:
    said = gancore("init", "my.toml", "--model", "mpl")
    assert said.code == 2
    assert said.err.startswith('no model "mpl" is installed; did you mean "mlp"?')
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_one_and_knows_what_is_installed(gancore: Gancore) -> None:
    said = gancore("schema")
    assert (said.code, said.err) == (0, "")
    schema = json.loads(said.out)
    jsonschema.validators.validator_for(schema).check_schema(schema)
    assert '"spectral-norm"' in said.out


def test_the_schema_goes_into_a_file(gancore: Gancore, tmp_path: Path) -> None:
    said = gancore("schema", "-o", "gancore.schema.json")
    assert said.out == "put `#:schema gancore.schema.json` into the first line of an experiment file\n"
    assert (tmp_path / "gancore.schema.json").read_text() == gancore("schema").out


def test_a_schema_that_cannot_be_written_is_a_message(gancore: Gancore) -> None:
    said = gancore("schema", "-o", "nowhere/x.json")
    assert (said.code, said.out, said.err) == (2, "", "nowhere/x.json: cannot be written\n")
