"""What `[health]` says: how often to probe, what to do, and which rules judge with which thresholds."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gancore.errors import ExperimentError
from gancore.experiment import Experiment, read
from gancore.experiment.write import write
from gancore.registry import Registry

Read = Callable[..., Experiment]
Install = Callable[..., None]

VALID = """\
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
"""
FIRST = VALID.count("\n") + 1  # the line after it

DRIFT = """
from gancore import Component, component, ge, gt, hookimpl, option

@component
class Drift:
    "Scores drift (2018)."
    limit: float = option(10.0, "Scores above this.", gt(0))
    patience: int = option(3, "Probes in a row.", ge(1))

    def judge(self, vitals, history, facts):
        return ()

@hookimpl
def gancore_rules():
    return [Component("{name}", "{module}:Drift", "Scores drift.")]
"""


def given(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """The rules with options of their own."""
    return {rule.name: rule.options for rule in experiment.rules if rule.options}


def names(experiment: Experiment) -> list[str]:
    return [rule.offer.qualified_name for rule in experiment.rules]


def test_without_a_table_every_rule_of_gancore_judges_by_its_own_thresholds(
    read_text: Read, registry: Registry
) -> None:
    found = read_text(VALID)
    assert names(found) == [offer.qualified_name for offer in registry.of_kind("rule")]
    assert given(found) == {}
    health = found.health
    assert (health.every, health.action, health.warm_up, health.probe, health.recorder, health.ignore) == (
        50, "observe", 500, True, True, (),
    )  # fmt: skip


def test_its_options(read_text: Read) -> None:
    health = read_text(VALID + '[health]\nevery = 7\naction = "stop"\nwarm_up = 0\nprobe = false\n').health
    assert (health.every, health.action, health.warm_up, health.probe) == (7, "stop", 0, False)


def test_thresholds_stand_in_a_table_of_the_rules_name(read_text: Read) -> None:
    more = "[health.vanishing-depth]\nwarn = 1e-2\npatience = 5\n[health.exploding]\nhuge = 9\n"
    found = read_text(VALID + more)
    assert given(found) == {"vanishing-depth": {"warn": 0.01, "patience": 5}, "exploding": {"huge": 9.0}}
    assert [rule.path for rule in found.rules if rule.options] == [
        ("health", "exploding"),
        ("health", "vanishing-depth"),
    ]
    assert names(found) == names(read_text(VALID)), "all others judge as before"


def test_a_threshold_on_the_command_line(read_text: Read) -> None:
    assert given(read_text(VALID, "health.exploding.huge=3")) == {"exploding": {"huge": 3.0}}


def test_an_empty_table_changes_nothing(read_text: Read) -> None:
    assert names(read_text(VALID + "[health.exploding]\n")) == names(read_text(VALID))


def test_ignored_rules_are_not_asked(read_text: Read) -> None:
    found = read_text(VALID + '[health]\nignore = ["exploding", "output-range"]\n[health.exploding]\nhuge = 1\n')
    left = set(names(read_text(VALID))) - set(names(found))
    assert left == {"gancore/exploding", "gancore/output-range"}
    assert found.health.ignore == ("exploding", "output-range")


def test_what_was_written_says_every_threshold_and_reads_the_same(read_text: Read) -> None:
    found = read_text(VALID + '[health]\nevery = 9\nignore = ["exploding"]\n[health.d-dominates]\nauc = 0.9\n')
    written = write(found)
    assert "[health.d-dominates]\nauc = 0.9\ndiversity = 0.8\nslope = 0.1\npatience = 3\n" in written
    assert "[health.exploding]" not in written
    again = read_text(written)
    assert write(again) == written
    assert names(again) == names(found)
    assert (again.health.every, again.health.ignore) == (9, ("exploding",))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[health]\nevry = 3", '1:1: health.evry: unknown option; did you mean "every"?'),
        ('[health]\nevery = "3"', "1:9: health.every: expected an integer, got a string ('3')"),
        ("[health]\nevery = 0", "1:9: health.every: must be >= 1: 0"),
        ("[health]\nwarm_up = -1", "1:11: health.warm_up: must be >= 0: -1"),
        ('[health]\nprobe = "no"', "1:9: health.probe: expected true or false, got a string ('no')"),
        (
            '[health]\naction = "mend"',
            '1:10: health.action: expected one of "observe", "warn", "stop", "heal"; got a string (\'mend\')',
        ),
        ("[[health]]\nevery = 3", "0:3: health: expected a table: write [health]"),
        ('[health]\nignore = "exploding"', "1:10: health.ignore: expected an array, got a string ('exploding')"),
        ("[health]\nignore = [1]", "1:11: health.ignore[0]: expected a string, got an integer (1)"),
        (
            '[health]\nignore = ["exploding", "explode"]',
            '1:24: health.ignore[1]: no such rule; did you mean "exploding"?',
        ),
        (
            "[health.vanishing-dept]\nwarn = 1",
            '0:9: health.vanishing-dept: no rule "vanishing-dept" is installed; did you mean "vanishing-depth"?; …',
        ),
        ("[health.exploding]\nhug = 3", '1:1: health.exploding.hug: unknown option; did you mean "huge"?'),
        (
            '[health]\nignore = ["exploding"]\n[health.exploding]\nhug = 3',
            '3:1: health.exploding.hug: unknown option; did you mean "huge"?',
        ),
        ('[health.exploding]\nhuge = "x"', "1:8: health.exploding.huge: expected a number, got a string ('x')"),
        ("[health.exploding]\nhuge = -1", "1:8: health.exploding.huge: must be > 0: -1.0"),
        (
            "[health.exploding]\npatience = 1.5",
            "1:12: health.exploding.patience: expected an integer, got a float (1.5)",
        ),
        ("[health]\nexploding = 3", "1:1: health.exploding: unknown option; known: every, action, warm_up, probe, …"),
        ("[health.every]\nwarn = 1", "0:9: health.every: expected an integer, got a table"),
        ("[health.exploding]\nname = 3", "1:8: health.exploding.name: expected a string, got an integer (3)"),
        ('[health.mine]\nname = "exploding"', '0:9: health.mine: rule "exploding" is asked already; give it one table'),
        (
            '[health.exploding]\nname = "lr-too-low"',
            '0:9: health.exploding: rule "lr-too-low" is asked already; give it one table',
        ),
    ],
)
def test_mistakes_are_named_with_their_place(more: str, message: str, read_text: Read, tmp_path: Path) -> None:
    """Lines are counted from the first one of what is added here."""
    with pytest.raises(ExperimentError) as caught:
        read_text(VALID + more + "\n")
    (problem,) = caught.value.problems
    said = f"{problem.line - FIRST}:{problem.column}: {problem.key}: {problem.message}"
    assert said.startswith(message.rstrip("…"))
    assert message.endswith("…") or said == message


def test_health_that_is_no_table(read_text: Read) -> None:
    with pytest.raises(ExperimentError, match=re.escape("my.toml:1:1: health: expected a table: write [health]")):
        read_text("health = 3\n" + VALID)


# ------------------------------------------------------------------------------------------------- others' rules


@pytest.fixture
def reads(install: Install, tmp_path: Path) -> Read:
    """Read with two more rules: `score-drift`, and a second `exploding`."""
    install("drift-rules", drift=DRIFT.format(name="score-drift", module="drift"))
    install("loud-rules", loud=DRIFT.format(name="exploding", module="loud"))

    def reads(text: str) -> Experiment:
        file = tmp_path / "my.toml"
        file.write_text(text, "utf-8")
        return read(file, Registry.discover())

    return reads


def test_anothers_rule_is_not_asked_unless_a_table_names_it(reads: Read) -> None:
    assert {name.split("/")[0] for name in names(reads(VALID))} == {"gancore"}
    found = reads(VALID + "[health.score-drift]\n")
    assert names(found)[-1] == "drift-rules/score-drift"
    assert found.rules[-1].create().limit == 10.0


def test_anothers_rule_reads_back_with_its_plugin(reads: Read) -> None:
    found = reads(VALID + "[health.score-drift]\nlimit = 4\n")
    written = write(found)
    assert '[health.score-drift]\nname = "drift-rules/score-drift"\nlimit = 4.0\npatience = 3\n' in written
    assert '\ndrift-rules = "1.0"\n' in written
    assert names(reads(written)) == names(found)
    assert write(reads(written)) == written


def test_anothers_rule_of_the_same_name_leaves_the_engines_own_as_it_is(reads: Read) -> None:
    found = reads(VALID + "[health.exploding]\nhuge = 5\n")
    assert given(found) == {"exploding": {"huge": 5.0}}
    assert "gancore/exploding" in names(found)
    assert "loud-rules/exploding" not in names(found)


def test_it_may_stand_beside_it_or_take_its_place(reads: Read) -> None:
    beside = reads(VALID + '[health.loud]\nname = "loud-rules/exploding"\nlimit = 2\n')
    assert names(beside) == [*names(reads(VALID)), "loud-rules/exploding"]
    instead = reads(VALID + '[health.exploding]\nname = "loud-rules/exploding"\n')
    assert set(names(instead)) == set(names(beside)) - {"gancore/exploding"}
    for found in (beside, instead):
        assert names(reads(write(found))) == names(found)
        assert write(reads(write(found))) == write(found)
