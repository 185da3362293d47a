"""The JSON Schema of experiment files, for editors."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import attrs
import jsonschema
import pytest

from gancore import component, option, required
from gancore.experiment.schema import _table, schema, type_name
from gancore.registry import Registry

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
VALID = """\
[train]
steps = 3
[data]
name = "digits"
[model]
name = "mlp"
hidden = [8]
[loss]
name = "hinge"
[optimizer]
name = "adam"
lr = 1
"""


@pytest.fixture(scope="module")
def validator(registry: Registry) -> jsonschema.Draft4Validator:
    return jsonschema.Draft4Validator(schema(registry))


def test_it_is_a_draft_04_schema(registry: Registry) -> None:
    made = schema(registry)
    jsonschema.Draft4Validator.check_schema(made)
    assert made["$schema"] == "http://json-schema.org/draft-04/schema#"
    assert json.loads(json.dumps(made, allow_nan=False)) == made


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_accepted(file: Path, validator: jsonschema.Draft4Validator) -> None:
    validator.validate(tomllib.loads(file.read_text("utf-8")))


@pytest.mark.parametrize(
    "more",
    [
        "",
        "[checkpoint]\nevery = 3\n",
        '[checkpoint]\nname = "gancore/checkpoint"\nkeep = 1\n',
        '[checkpoint]\nname = "stats"\n',
        "[optimizer.generator]\nbeta1 = 0.5\n",
        '[optimizer.generator]\nname = "sgd"\nmomentum = 0.5\n',
        '[[regularizer]]\nname = "gancore-penalties/r1"\n[[regularizer]]\nname = "r2"\ngamma = 3\n',
        '[[metric]]\nname = "mode-coverage"\n',
        '[[callback]]\nname = "stats"\n',
        '[plugins]\ngancore = "0.1.0"\n',
        "[log]\nevery = 3\n",
        '[health]\nevery = 3\naction = "stop"\nignore = ["exploding"]\n',
        "[health.vanishing-depth]\nwarn = 1e-2\npatience = 1\n",
        '[health.exploding]\nname = "gancore/exploding"\nhuge = 10\n',
    ],
)
def test_what_the_reader_accepts(more: str, validator: jsonschema.Draft4Validator) -> None:
    validator.validate(tomllib.loads(VALID + more))


def test_tables_that_need_no_outer_one(validator: jsonschema.Draft4Validator) -> None:
    text = VALID.replace("[optimizer]", "[optimizer.generator]").replace("[model]", "[generator]")
    validator.validate(tomllib.loads('callback = []\nname = "x"\n' + text + '[optimizer.discriminator]\nname = "sgd"'))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(VALID.replace("steps", "stepps"), id="a typo in an option of the engine"),
        pytest.param(VALID.replace("hidden", "hiden"), id="a typo in an option of a component"),
        pytest.param(VALID.replace("[loss]", "[los]"), id="a typo in a table"),
        pytest.param(VALID + "[checkpoint]\nevry = 3\n", id="a typo in the default component"),
        pytest.param(VALID + "[optimizer.generator]\nlrr = 3\n", id="a typo in a network's optimizer"),
        pytest.param(VALID.replace("steps = 3", 'steps = "3"'), id="text for an integer"),
        pytest.param(VALID.replace("steps = 3", "steps = true"), id="true for an integer"),
        pytest.param(VALID.replace("[8]", "[8.5]"), id="a fraction in an array of integers"),
        pytest.param(VALID.replace("lr = 1", 'lr = "1"'), id="text for a number"),
        pytest.param(VALID.replace("steps = 3", 'steps = 3\nprecision = "fp16"'), id="no such choice"),
        pytest.param(VALID.replace("hinge", "hings"), id="an unknown component"),
        pytest.param(VALID.replace("hinge", "adam"), id="a component of another kind"),
        pytest.param(VALID.replace('name = "hinge"\n', ""), id="no name"),
        pytest.param(VALID.replace('"digits"', '"image-folder"'), id="a required option missing"),
        pytest.param(VALID.replace("[data]\nname", "[log]\nevery = 1\n[plugins]\nname"), id="a table missing"),
        pytest.param(VALID + '[regularizer]\nname = "r1"\n', id="a table for an array of tables"),
        pytest.param(VALID + "[plugins]\ngancore = 0.1\n", id="a version that is no text"),
        pytest.param(VALID + '[health]\naction = "mend"\n', id="no such action"),
        pytest.param(VALID + "[health.vanishing-dept]\nwarn = 1\n", id="an unknown rule"),
        pytest.param(VALID + "[health.vanishing-depth]\nwan = 1\n", id="a typo in a rule's threshold"),
        pytest.param(VALID + '[health.vanishing-depth]\nwarn = "1"\n', id="text for a threshold"),
    ],
)
def test_mistakes_are_rejected(text: str, validator: jsonschema.Draft4Validator) -> None:
    assert not validator.is_valid(tomllib.loads(text))


def _options(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option of every table of the schema. The tables themselves are described where they are chosen from."""
    if isinstance(node, list):
        for item in node:
            yield from _options(item, path)
    if isinstance(node, dict):
        for name, inner in node.get("properties", {}).items():
            if ("anyOf" not in inner and inner.get("type") != "array") or path:
                yield f"{path}.{name}", inner
            yield from _options(inner, f"{path}.{name}")
        for word in ("anyOf", "items"):
            yield from _options(node.get(word, []), f"{path}({node.get('title', word)})")


def test_every_option_has_a_description(registry: Registry) -> None:
    options = list(_options(schema(registry)))
    assert len(options) > 100
    assert [path for path, option in options if not option.get("description")] == []


def test_every_component_can_be_chosen_by_both_names(registry: Registry) -> None:
    made = schema(registry)
    names = {name for branch in made["properties"]["loss"]["anyOf"] for name in branch["properties"]["name"]["enum"]}
    assert names == {n for offer in registry.of_kind("loss") for n in (offer.name, offer.qualified_name)}


def test_every_rule_has_a_table_with_its_thresholds(registry: Registry) -> None:
    tables = schema(registry)["properties"]["health"]["properties"]
    rules = registry.of_kind("rule")
    assert {offer.name for offer in rules} < set(tables)
    for offer in rules:
        options = {field.name for field in attrs.fields(offer.load()) if field.init}
        assert set(tables[offer.name]["properties"]) == {"name"} | options
        assert tables[offer.name]["properties"]["name"]["enum"] == [offer.name, offer.qualified_name]


def test_a_rule_that_cannot_be_imported_is_left_out(registry: Registry) -> None:
    first, second, *_ = registry.of_kind("rule")
    broken = attrs.evolve(first, component=attrs.evolve(first.component, target="no.such:Thing"))
    tables = schema(Registry(registry.plugins, (broken, second), ()))["properties"]["health"]["properties"]
    assert first.name not in tables
    assert second.name in tables


def test_a_component_that_cannot_be_imported_is_left_out(registry: Registry) -> None:
    offers = [o for o in registry.offers if o.kind == "loss"]
    broken = attrs.evolve(offers[0], component=attrs.evolve(offers[0].component, target="no.such:Thing"))
    made = schema(Registry(registry.plugins, (broken, offers[1]), ()))
    assert [branch["title"] for branch in made["properties"]["loss"]["anyOf"]] == [offers[1].name]
    assert made["properties"]["data"] == {"type": "object", "description": "What is real: a dataset."}


@component
class Typed:
    """One option of each type."""

    count: int = required("1")
    share: float = option(0.5, "2")
    flag: bool = option(False, "3")
    text: str = option("x", "4")
    choice: Literal["a", 3] = option("a", "5")
    many: tuple[int, ...] = option((1, 2), "6")
    pair: tuple[float, str] = option((0.0, ""), "7")
    maybe: int | None = option(None, "8")
    either: tuple[int, ...] | str | None = option(None, "9")
    table: dict[str, float] = option(attrs.Factory(dict), "10")


def test_the_schema_of_each_type() -> None:
    assert _table(Typed) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["count"],
        "properties": {
            "count": {"type": "integer", "description": "1"},
            "share": {"type": "number", "description": "2", "default": 0.5},
            "flag": {"type": "boolean", "description": "3", "default": False},
            "text": {"type": "string", "description": "4", "default": "x"},
            "choice": {"enum": ["a", 3], "description": "5", "default": "a"},
            "many": {"type": "array", "items": {"type": "integer"}, "description": "6", "default": [1, 2]},
            "pair": {
                "type": "array",
                "items": [{"type": "number"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
                "description": "7",
                "default": [0.0, ""],
            },
            "maybe": {"type": "integer", "description": "8"},
            "either": {
                "anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}],
                "description": "9",
            },
            "table": {"type": "object", "description": "10", "default": {}},
        },
    }


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "integer"), (float, "number"), (str, "string"), (bool, "boolean"), (dict[str, int], "table"),
        (Literal["a", 3], '"a" | 3'), (tuple[int, ...], "array of integer"), (int | None, "integer"),
        (tuple[Literal["a"], ...] | str | None, 'array of "a" | string'), (tuple[float, str], "[number, string]"),
    ],
)  # fmt: skip
def test_types_in_the_words_of_toml(kind: Any, words: str) -> None:
    assert type_name(kind) == words


# ------------------------------------------------------------------------------------------------ in an editor

TAPLO = Path(sys.executable).with_name("taplo")


@pytest.mark.skipif(not TAPLO.exists(), reason="taplo is not installed next to this Python")
@pytest.mark.parametrize(
    ("text", "fine"),
    [
        pytest.param(VALID + "[checkpoint]\nevery = 3\n[optimizer.generator]\nlr = 2\n", True, id="good"),
        pytest.param(VALID.replace("hidden", "hiden"), False, id="typo"),
        pytest.param(VALID.replace("steps = 3", 'steps = "3"'), False, id="type"),
        pytest.param(VALID.replace("hinge", "hings"), False, id="component"),
    ],
)
def test_taplo_agrees(text: str, fine: bool, registry: Registry, tmp_path: Path) -> None:
    """The language server of VS Code's "Even Better TOML". A local schema, no catalogue: it needs no network."""
    at = tmp_path / "gancore.schema.json"
    at.write_text(json.dumps(schema(registry)), "utf-8")
    file = tmp_path / "my.toml"
    file.write_text(text, "utf-8")
    command = [TAPLO, "lint", "--no-auto-config", "--schema", at.as_uri(), str(file)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode == 0) is fine, ended.stderr
