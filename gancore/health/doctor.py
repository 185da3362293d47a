"""The doctor: asks the rules about every probe, and believes what holds for some time."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from attrs import frozen

from gancore.contracts import ROLES, Change, Facts, Finding, Judges, Lints, Vitals
from gancore.health.history import History

LEAST = 10  # steps with one judgement: probes of neighbouring steps are no independent witnesses


@frozen
class Diagnosis:
    """What one probe has led to.

    Attributes:
        holding: findings that hold now; new: those of them that did not hold before, or less severely.
        failed: rules that raised, in words.
    """

    holding: tuple[Finding, ...]
    new: tuple[Finding, ...]
    failed: tuple[str, ...] = ()


class Doctor:
    """Judges a run.

    Args:
        rules: components of kind `rule`, by name.
        warm_up: steps at the start that are not judged.
    """

    def __init__(self, rules: Mapping[str, Any], facts: Facts, warm_up: int) -> None:
        self.rules, self.facts, self.warm_up = dict(rules), facts, warm_up
        self._judges = {name: rule for name, rule in rules.items() if isinstance(rule, Judges)}
        self._history = History()
        self._judged_at = -1
        self._holding: tuple[Finding, ...] = ()
        self._streaks: dict[str, int] = {}
        self._known: dict[str, str] = {}
        self._since: dict[str, int] = {}
        self._lasting: dict[str, str] = {}
        self._roots: dict[str, str] = {}

    def lint(self) -> Diagnosis:
        """What is wrong before the first step."""
        found: list[Finding] = []
        failed = []
        for name, rule in self.rules.items():
            if isinstance(rule, Lints):
                try:
                    found += rule.lint(self.facts)
                except Exception as error:  # a stranger's code does not end a run that it observes
                    failed.append(f"rule {name!r} failed: {type(error).__name__}: {error}")
        return Diagnosis(tuple(found), tuple(found), tuple(failed))

    def examine(self, vitals: Vitals) -> Diagnosis:
        if vitals.step // LEAST == self._judged_at // LEAST:
            return Diagnosis(self._holding, ())
        self._judged_at = vitals.step
        smoothed = self._history.take(vitals)
        before, streaks, failed = self._streaks, {}, []
        holding: dict[str, Finding] = {}
        new = []
        for name, rule in list(self._judges.items()):
            try:
                found = self._asked(rule, smoothed)
            except Exception as error:  # a stranger's code does not end a run that it observes
                del self._judges[name]
                failed.append(f"rule {name!r} failed and is asked no more: {type(error).__name__}: {error}")
                continue
            for finding in found:
                subject = subject_of(finding)
                streaks[subject] = before.get(subject, 0) + 1
                if streaks[subject] < rule.patience:
                    continue
                finding = self._where_it_was(finding)
                holding.setdefault(finding.key, finding)
                if self._known.get(subject) not in (finding.severity, "fatal"):
                    new.append(finding)
        self._streaks = streaks
        still = {subject_of(finding) for finding in holding.values()}  # what has passed is news when it comes again
        self._known = {subject: severity for subject, severity in self._known.items() if subject in still}
        self._believe(new)
        # What was a consequence once stays one, also after its root has passed.
        for key, finding in holding.items():
            self._roots[key] = self._explained(finding, holding.values()) or self._roots.get(key, "")
        self._holding, fresh = (
            tuple(attrs.evolve(finding, because=self._roots[finding.key]) for finding in some)
            for some in (holding.values(), new)
        )
        return Diagnosis(self._holding, fresh, tuple(failed))

    def _asked(self, rule: Any, vitals: Vitals) -> list[Finding]:
        """What one rule says now; during the warm-up only what cannot wait."""
        warming_up = vitals.step <= self.warm_up
        if warming_up and not getattr(rule, "early", False):
            return []
        found = [attrs.evolve(f, step=vitals.step) for f in rule.judge(vitals, self._history, self.facts)]
        return [finding for finding in found if finding.severity == "fatal" or not warming_up]

    def _where_it_was(self, finding: Finding) -> Finding:
        """While it holds, and as gravely, a finding stays with the layer that it was first seen at: which of two sick
        layers is the worse one may change from probe to probe."""
        alike = (subject_of(finding), finding.severity)
        held = [other for other in self._holding if (subject_of(other), other.severity) == alike]
        if not held or finding.where in {other.where for other in held}:
            return finding
        return attrs.evolve(held[0], step=finding.step)

    def _believe(self, new: list[Finding]) -> None:
        for finding in new:
            key = finding.key
            self._known[subject_of(finding)] = finding.severity
            self._since.setdefault(key, finding.step)
            if getattr(self.rules.get(finding.code), "lasting", False) and finding.severity != "note":
                self._lasting.setdefault(finding.code, key)

    def _explained(self, finding: Finding, holding: Iterable[Finding]) -> str:
        """The finding that this one follows from, as `code where`; empty if it stands on its own."""
        for other in holding:
            rule = self.rules.get(other.code)
            different = other.severity != "note" and other.code != finding.code
            if different and finding.code in getattr(rule, "explains", ()):
                return other.key
        for code, root in self._lasting.items():
            began = self._since.get(root, 0) <= self._since.get(finding.key, 0)
            if code != finding.code and began and finding.code in getattr(self.rules.get(code), "explains", ()):
                return root
        return ""

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": self._history.state_dict(),
            "judged_at": self._judged_at,
            "holding": [attrs.asdict(finding) for finding in self._holding],
            "streaks": self._streaks,
            "known": self._known,
            "since": self._since,
            "lasting": self._lasting,
            "roots": self._roots,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._history.load_state_dict(state["history"])
        self._judged_at = state["judged_at"]
        self._holding = tuple(
            Finding(**{**found, "changes": tuple(Change(**change) for change in found["changes"])})
            for found in state["holding"]
        )
        self._streaks, self._known = dict(state["streaks"]), dict(state["known"])
        self._since, self._lasting, self._roots = (dict(state[name]) for name in ("since", "lasting", "roots"))


def subject_of(finding: Finding) -> str:
    """What is believed once it was found often enough: `code role` for what is found anywhere in a network, as its
    worst layer may be another one every time; else its key."""
    network = finding.where.partition(" ")[0]
    return f"{finding.code} {network}" if network in ROLES else finding.key


def in_words(finding: Finding) -> str:
    """One line: what, where, the numbers, the cause and the remedy."""
    numbers = ", ".join(f"{name} {value:.3g}" for name, value in finding.evidence.items())
    evidence = f" ({numbers})" if numbers else ""
    where = f" in {finding.where}" if finding.where else ""
    at = f"step {finding.step}: " if finding.step else ""
    said = f"{at}{finding.severity}: {finding.code}{where}{evidence}: {finding.cause}"
    return f"{said} It follows from {finding.because}." if finding.because else f"{said} {finding.remedy}".rstrip()
