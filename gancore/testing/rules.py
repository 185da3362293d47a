"""What every rule of gradient health has to hold."""

from collections.abc import Iterable, Iterator, Mapping
from math import inf, isfinite, nan
from typing import Any, get_args

import tomlkit
from attrs import frozen

from gancore.components import options_of
from gancore.contracts import Change, Facts, Finding, Judges, Lints, Severity, Vitals
from gancore.health.history import History
from gancore.testing.kit import Subject, Violation, method, only_for
from gancore.testing.materials import healthy_facts, healthy_vitals, vitals_of

PROBES = 20  # of a healthy game, before something happens
STEPS = 1000  # of the whole run, so that its end is far away
EXTREMES = (0.0, 1.0, 1e9, nan, inf)
BARE = Facts(tables={}, steps=STEPS)
HEALTHY = "a healthy game"


@frozen(eq=False)
class _Case:
    """What a rule is asked about; `words` say to its author what it was."""

    words: str
    vitals: Vitals
    history: History
    facts: Facts


def has_a_moment(subject: Subject) -> None:
    component = subject.create()
    if hasattr(component, "judge") and not isinstance(component, Judges):
        raise Violation(
            f"{subject}: has judge() but no option `patience`, so it is never asked; write patience: int = "
            'option(3, "Probes in a row before it is said.", ge(1))'
        )
    if not isinstance(component, Judges | Lints):
        raise Violation(f"{subject}: has none of the methods judge, lint, so it never finds anything")


@only_for(method("judge"))
def patience_is_a_number_of_probes(subject: Subject) -> None:
    patience = getattr(subject.create(), "patience", None)
    is_option = "patience" in {field.name for field in options_of(subject.cls)}
    if not is_option or type(patience) is not int or patience < 1:
        raise Violation(
            f"{subject}: `patience` is {patience!r}; make it an option of type int with ge(1), so that an experiment "
            "can say for how many probes in a row a finding has to hold"
        )


@only_for(method("judge"))
def judges_whatever_was_measured(subject: Subject) -> None:
    """A number may be missing (nobody held reals out), or be NaN (the game has just exploded)."""
    for case in _cases():
        _judged(subject, case)


@only_for(method("lint"))
def lints_whatever_is_known(subject: Subject) -> None:
    """Facts may be bare: networks are not always there, and a table of another plugin has options of its own."""
    for facts in (BARE, healthy_facts(STEPS)):
        _linted(subject, facts)


def findings_are_whole(subject: Subject) -> None:
    """Each finding says what is wrong and what to do, to people and to the experiment file."""
    for words, finding in _found(subject):
        if not isinstance(finding, Finding):
            raise Violation(f"{subject}: found {finding!r} in {words}; make it a gancore.Finding")
        for complaint in _complaints(subject, finding):
            raise Violation(f"{subject}: in {words} it found something whose {complaint}")


def a_healthy_game_is_left_alone(subject: Subject) -> None:
    """A finding that is nearly always there is never read."""
    for words, finding in _found(subject):
        if words == HEALTHY and finding.severity != "note":
            raise Violation(
                f"{subject}: calls a healthy game ill ({finding.severity} in {finding.where!r}: {finding.threshold}, "
                f"with {dict(finding.evidence)}). Move the threshold, or ask for a second number that has to be wrong"
            )


def _complaints(subject: Subject, finding: Finding) -> Iterator[str]:
    if finding.code != subject.offer.name:
        yield f"code is {finding.code!r}; make it the rule's name, {subject.offer.name!r}: users ignore it by that name"
    if finding.severity not in get_args(Severity):
        yield f"severity is {finding.severity!r}; choose one of {', '.join(map(repr, get_args(Severity)))}"
    for part in ("where", "threshold", "link"):
        if not isinstance(getattr(finding, part), str):
            yield f"{part} is {getattr(finding, part)!r}; say it in words"
    for part in ("cause", "remedy"):
        if not _is_sentence(getattr(finding, part)):
            yield f"{part} is {getattr(finding, part)!r}; write one sentence for people, with a full stop"
    if not isinstance(finding.evidence, Mapping) or not all(_is_number(v) for v in finding.evidence.values()):
        yield f"evidence is {finding.evidence!r}; give numbers by name, as float: they are written to health.json"
    if not isinstance(finding.changes, tuple) or not all(isinstance(change, Change) for change in finding.changes):
        yield f"changes are {finding.changes!r}; give a tuple of gancore.Change, () for none"
        return
    for change in finding.changes:
        if not isinstance(change.path, tuple) or len(change.path) < 2 or not all(_is_key(k) for k in change.path):
            yield f'change leads to {change.path!r}; name table and key, as in ("optimizer", "generator", "lr")'
        if not _is_toml(change.value):
            yield f"change sets {change.value!r}; an experiment file has no such value"


def _is_sentence(text: Any) -> bool:
    return isinstance(text, str) and text.strip().endswith((".", "!", "?")) and len(text.split()) > 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_key(part: Any) -> bool:
    return isinstance(part, str) and part != ""


def _is_toml(value: Any) -> bool:
    """None takes a key away. Experiments have no numbers that are not finite."""
    try:
        return value is None or bool(tomlkit.item(value) is not None and (not _is_number(value) or isfinite(value)))
    except ValueError:
        return False


def _found(subject: Subject) -> Iterator[tuple[str, Finding]]:
    """Every finding of every case, with the words for the case."""
    component = subject.create()
    if isinstance(component, Lints):
        yield from (("bare facts", finding) for finding in _linted(subject, BARE))
        yield from ((HEALTHY, finding) for finding in _linted(subject, healthy_facts(STEPS)))
    if isinstance(component, Judges):
        for case in _cases():
            yield from ((case.words, finding) for finding in _judged(subject, case))


def _cases() -> Iterator[_Case]:
    """A healthy game after some time, nothing at all, and numbers of a game that has come to an end."""
    for facts in (BARE, healthy_facts(STEPS)):
        yield _Case("a game of which nothing was measured", Vitals(1, {}, {}), History(), facts)
        yield _Case("a first probe", healthy_vitals(1), History(), facts)
        yield _case(HEALTHY, healthy_vitals(PROBES + 1), facts)
        for value in EXTREMES:
            yield _case(f"a game whose every number became {value:g}", vitals_of(value, PROBES + 1), facts)


def _case(words: str, vitals: Vitals, facts: Facts) -> _Case:
    """The probe after those of a healthy game, unsmoothed, so that it is as extreme as it says."""
    history = History()
    for step in range(1, PROBES + 1):
        history.take(healthy_vitals(step))
    history.take(vitals)
    return _Case(words, vitals, history, facts)


def _judged(subject: Subject, case: _Case) -> list[Finding]:
    component = subject.create()
    try:
        return _listed(component.judge(case.vitals, case.history, case.facts))
    except Exception as error:
        raise Violation(
            f"{subject}: judge() failed on {case.words}: {type(error).__name__}: {error}. Take numbers, layers and "
            "tables with .get(), and expect 0, NaN and infinity; History answers None before it knows. It returns an "
            "iterable of findings, () for none"
        ) from error


def _linted(subject: Subject, facts: Facts) -> list[Finding]:
    component = subject.create()
    known = "bare facts (no tables, no networks)" if facts is BARE else HEALTHY
    try:
        return _listed(component.lint(facts))
    except Exception as error:
        raise Violation(
            f"{subject}: lint() failed on {known}: {type(error).__name__}: {error}. Take tables with .get(), and "
            "expect None for networks and data. It returns an iterable of findings, () for none"
        ) from error


def _listed(found: Iterable[Finding]) -> list[Finding]:
    return list(found)


CHECKS = (
    has_a_moment,
    patience_is_a_number_of_probes,
    judges_whatever_was_measured,
    lints_whatever_is_known,
    findings_are_whole,
    a_healthy_game_is_left_alone,
)
