"""What is installed, and how to begin: plugins, list, show, init, schema, and every command's help."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from gancore.cli import cli
from gancore.components import KINDS, options_of
from gancore.registry import Registry

Gancore = Callable[..., Any]

BROKEN = "import a_module_that_nobody_has\n"


# -------------------------------------------------------------------------------------------------- plugins, list


def test_plugins_lists_what_each_brings(gancore: Gancore) -> None:
    lines = gancore("plugins").out.splitlines()
    at = lines.index("gancore-synthetic 0.1.0")
    assert lines[at + 1 : at + 3] == ["  dataset      ring, grid, swiss-roll", "  metric       mode-coverage"]


def test_plugins_says_why_one_is_broken(gancore: Gancore, install: Callable[..., None]) -> None:
    install("broken-plugin", broken_plugin=BROKEN)
    lines = gancore("plugins").out.splitlines()
    at = lines.index("broken-plugin 1.0")
    assert lines[at + 1] == ("  broken (import): ModuleNotFoundError: No module named 'a_module_that_nobody_has'")
    (record,) = [r for r in json.loads(gancore("plugins", "--json").out) if r["distribution"] == "broken-plugin"]
    assert record == {
        "distribution": "broken-plugin",
        "version": "1.0",
        "entry_point": "broken_plugin",
        "components": [],
        "broken": [
            {"stage": "import", "error": "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"},
        ],
    }


def test_a_broken_plugin_breaks_nothing_else(gancore: Gancore, install: Callable[..., None], tiny: Path) -> None:
    install("broken-plugin", broken_plugin=BROKEN)
    said = gancore("list", "loss")
    assert said.code == 0
    assert "  hinge  " in said.out
    assert said.err.splitlines() == [
        "broken-plugin 1.0 is broken (import): ModuleNotFoundError: No module named 'a_module_that_nobody_has'"
    ]
    assert gancore("check", tiny).code == 0


def test_plugins_as_json_is_one_record_per_plugin(gancore: Gancore) -> None:
    records = json.loads(gancore("plugins", "--json").out)
    assert {record["distribution"] for record in records} == {p.distribution for p in Registry.discover().plugins}
    (mlp,) = [record for record in records if record["distribution"] == "gancore-mlp"]
    assert (mlp["components"], mlp["broken"]) == (["model mlp"], [])


def test_list_names_every_offer_once(gancore: Gancore) -> None:
    offers = Registry.discover().offers
    lines = [line for line in gancore("list").out.splitlines() if line.startswith("  ")]
    assert sorted(line.split()[0] for line in lines) == sorted(offer.name for offer in offers)


@pytest.mark.parametrize("kind", KINDS)
def test_list_of_one_kind(kind: Any, gancore: Gancore) -> None:
    heading, *lines = gancore("list", kind).out.splitlines()
    assert heading == kind
    assert [line.split()[0] for line in lines] == [offer.name for offer in Registry.discover().of_kind(kind)]


def test_list_in_a_pipe_keeps_one_line_per_component(gancore: Gancore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert all(line.endswith("]") for line in gancore("list", "regularizer").out.splitlines()[1:])


def test_list_as_json(gancore: Gancore) -> None:
    records = json.loads(gancore("list", "model", "--json").out)
    assert records == [
        {
            "kind": "model",
            "name": offer.name,
            "summary": offer.component.summary,
            "distribution": offer.plugin.distribution,
            "version": "0.1.0",
        }
        for offer in Registry.discover().of_kind("model")
    ]


def test_a_kind_that_is_none_is_refused_with_those_that_are(gancore: Gancore) -> None:
    said = gancore("list", "losses")
    assert said.code == 2
    assert all(f"'{kind}'" in said.err for kind in KINDS)


# -------------------------------------------------------------------------------------------------------- show


def test_show_tells_every_option_of_every_component(gancore: Gancore) -> None:
    offers = Registry.discover().offers
    assert len(offers) >= 35
    for offer in offers:
        said = gancore("show", offer.kind, offer.name)
        assert (said.code, said.err) == (0, ""), offer.qualified_name
        assert said.out.startswith(f"{offer.name}  {offer.kind} of {offer.plugin}  ({offer.component.target})\n\n")
        for field in options_of(offer.load()):
            assert f"\n  {field.name}  " in said.out
            assert field.metadata["doc"] in said.out
        assert "<" not in said.out.partition("\noptions")[2], offer.qualified_name  # a type's repr


def test_show_of_a_qualified_name(gancore: Gancore) -> None:
    assert gancore("show", "loss", "gancore-losses/hinge").out == gancore("show", "loss", "hinge").out


def test_show_of_something_that_is_not_there(gancore: Gancore) -> None:
    said = gancore("show", "loss", "hindge")
    assert said.code == 2
    assert 'no loss "hindge" is installed' in said.err
    assert 'did you mean "hinge"?' in said.err


# ------------------------------------------------------------------------------------------------- init, schema


def test_init_writes_an_experiment_that_checks(gancore: Gancore, tmp_path: Path) -> None:
    said = gancore("init", "my.toml")
    assert (said.code, said.out) == (0, "my.toml: now `gancore check my.toml`, then `gancore train my.toml`\n")
    assert tomllib.loads((tmp_path / "my.toml").read_text())["loss"] == {"name": "wgan-gp"}
    assert gancore("check", "my.toml").code == 0


def test_init_takes_any_components(gancore: Gancore, tmp_path: Path) -> None:
    names = ("--data", "ring", "--model", "mlp", "--loss", "hinge", "--optimizer", "sgd")
    assert gancore("init", *names).code == 0
    tables = tomllib.loads((tmp_path / "experiment.toml").read_text())
    assert [tables[key]["name"] for key in ("data", "model", "loss", "optimizer")] == ["ring", "mlp", "hinge", "sgd"]
    assert gancore("check", "experiment.toml").code == 0


def test_init_overwrites_nothing(gancore: Gancore, tiny: Path) -> None:
    before = tiny.read_text()
    said = gancore("init", tiny)
    assert (said.code, said.err) == (2, f"{tiny}: exists already; it is left as it is\n")
    assert tiny.read_text() == before


def test_init_into_a_folder_that_is_not_there(gancore: Gancore) -> None:
    said = gancore("init", "nowhere/my.toml")
    assert (said.code, said.err) == (2, "nowhere/my.toml: cannot be written: No such file or directory\n")


def test_init_with_an_unknown_component_writes_nothing(gancore: Gancore, tmp_path: Path) -> None:
    said = gancore("init", "--loss", "hindge")
    assert said.code == 2
    assert 'did you mean "hinge"?' in said.err
    assert list(tmp_path.iterdir()) == []


def test_schema_to_the_screen_and_to_a_file(gancore: Gancore, tmp_path: Path) -> None:
    printed = gancore("schema").out
    said = gancore("schema", "-o", "gancore.schema.json")
    assert said.out == "put `#:schema gancore.schema.json` into the first line of an experiment file\n"
    assert (tmp_path / "gancore.schema.json").read_text() == printed
    assert json.loads(printed)["$schema"].startswith("http://json-schema.org/") or "json-schema.org" in printed


def test_schema_into_a_folder_that_is_not_there(gancore: Gancore) -> None:
    said = gancore("schema", "-o", "nowhere/schema.json")
    assert (said.code, said.err) == (2, "nowhere/schema.json: cannot be written\n")


# -------------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_commands_help_has_an_example(name: str, gancore: Gancore) -> None:
    said = gancore(name, "--help")
    assert said.code == 0
    assert f"\n  Example: gancore {name}" in said.out


def test_every_command_is_named_in_a_whole_line_of_the_help(gancore: Gancore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = gancore("--help").out
    for name, command in cli.commands.items():
        assert f"\n  {name:<9}{command.get_short_help_str(200)}\n" in out
    assert "..." not in out


def test_help_of_each_option_is_not_empty() -> None:
    for command in (cli, *cli.commands.values()):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{command.name} {parameter.name}"


def test_version(gancore: Gancore) -> None:
    assert gancore("--version").out == "gancore, version 0.1.0\n"
