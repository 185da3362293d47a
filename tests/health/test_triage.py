"""Findings in the order in which to mend them."""

from pathlib import Path
from typing import Any

from gancore.health.record import read
from gancore.health.triage import duration, in_order, verdict


def order(folder: Path) -> list[tuple[int, str]]:
    return [(item.depth, item.held.finding.code) for item in in_order(read(folder))]


def test_fatal_comes_before_warn_before_note(write: Any, made: Any) -> None:
    codes = ("note", "warn", "fatal")
    assert order(write(None, [made.finding(code, severity=code) for code in codes])) == [
        (0, "fatal"),
        (0, "warn"),
        (0, "note"),
    ]


def test_what_holds_comes_before_what_has_passed_and_then_the_earlier(write: Any, made: Any) -> None:
    findings = [
        made.finding("passed", last_step=900, first_step=100),
        made.finding("later", first_step=700),
        made.finding("earlier", first_step=600),
    ]
    assert order(write(None, findings)) == [(0, "earlier"), (0, "later"), (0, "passed")]


def test_what_follows_stands_below_its_root_and_lends_it_its_gravity(write: Any, made: Any) -> None:
    findings = [
        made.finding("alone", severity="fatal", first_step=800),
        made.finding("child", severity="fatal", because="root generator"),
        made.finding("grandchild", severity="note", because="child generator"),
        made.finding("root", severity="warn", first_step=600),
    ]
    assert order(write(None, findings)) == [(0, "root"), (1, "child"), (2, "grandchild"), (0, "alone")]


def test_findings_that_explain_each_other_are_all_there(write: Any, made: Any) -> None:
    findings = [
        made.finding("a", because="b generator"),
        made.finding("b", because="c generator"),
        made.finding("c", because="a generator", severity="fatal"),
        made.finding("d", because="nobody knows"),
    ]
    assert sorted(code for _, code in order(write(None, findings))) == ["a", "b", "c", "d"]


def test_a_remedy_that_was_given_already_is_not_given_again(write: Any, made: Any) -> None:
    change = [{"path": ["loss", "name"], "value": "hinge"}]
    findings = [
        made.finding("a", changes=change),
        made.finding("b", changes=change),
        made.finding("c"),
        made.finding("d"),
    ]
    assert [item.same_as for item in in_order(read(write(None, findings)))] == ["", "a generator", "", ""]


def test_the_verdict_names_the_gravest_that_holds(write: Any, made: Any) -> None:
    findings = [made.finding("a"), made.finding("b", severity="fatal", because="a generator")]
    found = verdict(read(write(None, findings)))
    assert found.state == "fatal"
    assert found.words == (
        "b in generator holds at the last probe, step 1,000, from a generator; 1 other finding at the same time."
    )


def test_the_verdict_on_a_run_whose_findings_have_passed(write: Any, made: Any) -> None:
    findings = [made.finding("a", last_step=900), made.finding("a", "discriminator", last_step=800)]
    found = verdict(read(write(None, findings)))
    assert (found.state, found.words) == ("recovered", "Nothing holds at the last probe, step 1,000; a did before.")


def test_the_verdict_on_a_healthy_run(write: Any) -> None:
    found = verdict(read(write()))
    assert (found.state, found.words) == ("healthy", "No finding (10 probes, steps 100 to 1,000).")


def test_within_the_warm_up_nothing_is_judged(write: Any, made: Any) -> None:
    found = verdict(read(write([made.probe(500)])))
    assert found.state == "not judged"
    assert found.words == "All probes (1 probe, step 500) lie in the warm-up of 500 steps."


def test_how_long_a_finding_held_is_said_in_words(write: Any, made: Any) -> None:
    steps = [(600, 1000), (1000, 1000), (600, 900), (600, 600)]
    findings = [made.finding(f"f{i}", first_step=first, last_step=last) for i, (first, last) in enumerate(steps)]
    record = read(write(None, findings))
    assert {held.finding.code: duration(record, held) for held in record.findings} == {
        "f0": "since step 600",
        "f1": "at step 1,000",
        "f2": "steps 600 to 900",
        "f3": "at step 600 only",
    }
