"""Every rule: numbers that make it speak and those that do not, what to change; and how the doctor believes."""

import math
from collections.abc import Iterable
from typing import Any

import pytest

from gancore.contracts import Change, Facts, Finding, Judges, Lints, Vitals
from gancore.health.doctor import Doctor, in_words
from gancore.health.history import History
from gancore.registry import Registry

RULES = {
    offer.name: offer.load() for offer in Registry.discover().of_kind("rule") if offer.plugin.distribution == "gancore"
}

TABLES = {
    "train": {"batch_size": 64, "precision": "fp32"},
    "loss": {"name": "nonsaturating"},
    "generator": {"name": "mlp", "activation": "sigmoid", "init": "default", "norm": "none"},
    "discriminator": {"name": "mlp", "activation": "relu", "init": "he", "norm": "none"},
    "model_table": {"generator": "model", "discriminator": "model"},
    "optimizer": {"generator": {"name": "adam", "lr": 1e-3}, "discriminator": {"name": "adam", "lr": 1e-3}},
    "regularizer": {},
}
WELL = {
    "A": 0.7, "B": 2.0, "C": 1.0, "auc": 0.8, "diversity": 0.95, "duplicates": 0.0, "gap": 1.0,
    "gradient/generator": 1.0, "gradient/discriminator": 1.0,
    "update/generator": 3e-3, "update/discriminator": 3e-3,
}  # fmt: skip
LAYERS = {"a": {"gradient": 0.1, "dead": 0.0}, "b": {"gradient": 0.3, "dead": 0.0}, "c": {"gradient": 0.5, "dead": 0.0}}


def facts(**changes: Any) -> Facts:
    tables = {**TABLES, **changes.pop("tables", {})}
    return Facts(tables=tables, steps=changes.pop("steps", 10_000), **changes)


def judged(
    rule: str,
    numbers: dict[str, float],
    known: Facts | None = None,
    *,
    layers: Any = None,
    before: int = 0,
    **options: Any,
) -> list[Finding]:
    """What a rule says of one probe, after `before` healthy ones."""
    history = History()
    both = {"generator": layers or LAYERS, "discriminator": LAYERS}
    for step in range(before):
        history.take(Vitals(step, WELL, {"generator": LAYERS, "discriminator": LAYERS}))
    vitals = Vitals(1000, {**WELL, **numbers}, both)  # type: ignore[arg-type]
    history.take(vitals)
    return list(RULES[rule](**options).judge(vitals, history, known or facts()))


@pytest.mark.parametrize("name", sorted(RULES))
def test_no_rule_speaks_of_a_healthy_game(name: str) -> None:
    rule = RULES[name]()
    if isinstance(rule, Judges):
        assert judged(name, {}, before=20) == []
    if isinstance(rule, Lints):
        assert list(rule.lint(facts())) == []


CASES: list[tuple[str, dict[str, float], dict[str, Any], str, str, tuple[Change, ...]]] = [
    (
        "loss-saturated", {"A": 0.01, "auc": 0.95}, {"tables": {"loss": {"name": "minimax"}}}, "warn",
        "factor A (loss)",
        (Change(("loss", "name"), "nonsaturating"), Change(("regularizer", "r1", "gamma"), 0.1)),
    ),
    (
        "loss-saturated", {"A": 1e-4, "auc": 0.99}, {"tables": {"loss": {"name": "lsgan"}}}, "fatal",
        "factor A (loss)", (Change(("regularizer", "r1", "gamma"), 1.0),),
    ),
    (
        "critic-flat", {"B": 1e-4, "auc": 0.5}, {"tables": {"regularizer": {"r1": {"gamma": 100.0}}}}, "warn",
        "factor B (discriminator)", (Change(("regularizer", "r1", "gamma"), 25.0),),
    ),
    (
        "critic-steep", {"B": 5e3}, {}, "warn", "factor B (discriminator)",
        (Change(("regularizer", "r1", "gamma"), 1.0),),
    ),
    (
        "critic-steep", {"B": 1e6}, {"lipschitz": True}, "fatal", "factor B (discriminator)",
        (Change(("regularizer", "wgan-gp", "weight"), 10.0),),
    ),
    (
        "critic-steep", {"slope": 50.0}, {"lipschitz": True}, "warn", "slope between reals and fakes",
        (Change(("regularizer", "wgan-gp", "weight"), 10.0),),
    ),
    (
        "critic-steep", {"slope": 3.0},
        {"lipschitz": True, "tables": {"regularizer": {"wgan-gp": {"weight": 0.01}}}}, "warn",
        "slope between reals and fakes", (Change(("regularizer", "wgan-gp", "weight"), 0.1),),
    ),
    (
        "lr-too-high", {"update/generator": 0.06}, {}, "warn", "generator",
        (Change(("optimizer", "generator", "lr"), 1.7e-05),),
    ),
    (
        "lr-too-high", {"update/discriminator": 0.3}, {}, "fatal", "discriminator",
        (Change(("optimizer", "discriminator", "lr"), 3.3e-06),),
    ),
    (
        "lr-too-low", {"update/generator": 1e-6}, {}, "warn", "generator",
        (Change(("optimizer", "generator", "lr"), 1.0),),
    ),
    (
        "d-dominates", {"auc": 0.99, "diversity": 0.5}, {}, "warn", "balance",
        (Change(("regularizer", "r1", "gamma"), 1.0),),
    ),
    (
        "d-dominates", {"auc": 0.99, "A": 0.01},
        {"tables": {"optimizer": {"generator": {"lr": 1e-4}, "discriminator": {"lr": 1e-3}}}}, "warn", "balance",
        (Change(("optimizer", "discriminator", "lr"), 1e-4),),
    ),
    (
        "g-dominates", {"auc": 0.2}, {}, "warn", "balance", (Change(("optimizer", "discriminator", "lr"), 2e-3),),
    ),
    (
        "d-overfits", {"auc/seen": 0.95, "auc/held-out": 0.4}, {}, "warn", "discriminator",
        (Change(("regularizer", "instance-noise"), {}),),
    ),
    (
        "exploding", {"gradient/generator": 1e7}, {}, "fatal", "generator",
        (Change(("regularizer", "autoclip", "on"), "generator"),),
    ),
    (
        "exploding", {"gradient/discriminator": math.inf}, {}, "fatal", "discriminator",
        (Change(("regularizer", "autoclip", "on"), "discriminator"),),
    ),
    (
        "penalty-imbalance", {"penalty/discriminator": 50.0},
        {"tables": {"regularizer": {"r1": {"gamma": 100.0, "every": 1}}}}, "warn", "discriminator",
        (Change(("regularizer", "r1", "gamma"), 2.0),),
    ),
    (
        "penalty-imbalance", {"gap": 0.001, "auc": 0.95},
        {"tables": {"regularizer": {"r1": {"gamma": 3000.0, "every": 1}}}}, "warn", "discriminator",
        (Change(("regularizer", "r1", "gamma"), 3.0),),
    ),
    (
        "penalty-imbalance", {"penalty/discriminator": 1e-5},
        {"tables": {"regularizer": {"r1": {"gamma": 1e-6, "every": 1}}}}, "note", "discriminator",
        (Change(("regularizer", "r1", "gamma"), 0.01),),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "numbers", "known", "severity", "where", "changes"), CASES)
def test_a_sick_number_makes_the_rule_speak(
    rule: str, numbers: dict[str, float], known: dict[str, Any], severity: str, where: str, changes: tuple[Change, ...]
) -> None:
    (finding,) = judged(rule, numbers, facts(**known))
    assert (finding.code, finding.severity, finding.where) == (rule, severity, where)
    assert finding.changes == changes
    for sentence in (finding.cause, finding.remedy):
        assert sentence.endswith(".")
        assert sentence[0].isupper()
    assert finding.link.startswith("https://")
    assert finding.threshold


def layers(*signals: float, dead: Iterable[float] = ()) -> dict[str, dict[str, float]]:
    shares = [*dead, *[0.0] * len(signals)]
    return {f"layers.{i}": {"gradient": s, "dead": shares[i]} for i, s in enumerate(signals)}


def test_depth_is_blamed_on_the_layer_that_hears_least() -> None:
    (finding,) = judged("vanishing-depth", {}, layers=layers(1e-7, 1e-5, 1e-3, 1.0))
    assert (finding.severity, finding.where) == ("fatal", "generator layers.0")
    assert finding.changes == (Change(("model", "activation"), "leaky-relu"), Change(("model", "init"), "he"))
    (finding,) = judged("vanishing-depth", {}, layers=layers(0.5, 1e-4, 0.6, 1.0))
    assert (finding.severity, finding.where) == ("warn", "generator layers.1")
    assert judged("vanishing-depth", {}, layers=layers(0.0, 0.0)) == [], "nothing arrives at all: others say why"


def test_gradients_that_grow_on_their_way_back_explode() -> None:
    assert judged("vanishing-depth", {}, layers=layers(500.0, 10.0, 1e-3)) == [], "growth is no vanishing"
    (finding,) = judged("exploding", {}, layers=layers(500.0, 10.0, 1.0))
    assert (finding.severity, finding.where) == ("warn", "generator layers.0")
    assert judged("exploding", {}, layers=layers(0.0, 0.1, 1.0)) == [], "vanishing is no explosion"


def test_a_norm_far_above_its_history_is_a_surprise() -> None:
    assert judged("exploding", {"gradient/generator": 1000.0}) == [], "without a history there is none"
    (finding,) = judged("exploding", {"gradient/generator": 1000.0}, before=20)
    assert finding.evidence["standard deviations"] > 4


def test_dead_units_are_named_by_layer_and_the_last_layer_has_none() -> None:
    (finding,) = judged("dead-units", {}, layers=layers(0.1, 0.2, 1.0, dead=[0.95, 0.5, 0.0]))
    assert (finding.severity, finding.where) == ("fatal", "generator layers.0")
    assert Change(("model", "activation"), "leaky-relu") in finding.changes
    assert judged("dead-units", {}, layers=layers(0.1, 0.2, 1.0, dead=[0.0, 0.0, 1.0])) == []


def test_collapse_is_a_fall_from_what_the_run_had() -> None:
    assert judged("mode-collapse", {"diversity": 0.4}) == [], "it never was higher: still learning"
    (finding,) = judged("mode-collapse", {"diversity": 0.0}, before=20)
    assert (finding.severity, finding.where) == ("fatal", "generator")
    assert Change(("loss", "name"), "relativistic") in finding.changes


def test_slow_rates_at_the_end_of_a_run_are_meant_to_be() -> None:
    assert judged("lr-too-low", {"update/generator": 1e-7}, facts(steps=1001)) == []


def test_lazy_penalties_may_be_as_strong_as_their_interval_is_long() -> None:
    lazy = facts(tables={"regularizer": {"r1": {"gamma": 10.0, "every": 16}}})
    assert judged("penalty-imbalance", {"penalty/discriminator": 50.0}, lazy) == []


# ---------------------------------------------------------------------------------------------------- the doctor


class Moody:
    """Finds what the numbers say."""

    patience = 3
    explains: tuple[str, ...] = ()

    def __init__(self, code: str = "moody", **declared: Any) -> None:
        self.code = code
        for name, value in declared.items():
            setattr(self, name, value)

    def judge(self, vitals: Vitals, history: Any, facts: Facts) -> Iterable[Finding]:
        if severity := vitals.numbers.get(self.code):
            yield Finding(
                code=self.code, severity="fatal" if severity > 1 else "warn", where="here", evidence={"x": severity},
                threshold="", cause="It is so.", remedy="Change it.",
            )  # fmt: skip


def examined(doctor: Doctor, *probes: dict[str, float], start: int = 0) -> list[tuple[int, int]]:
    """How many findings hold and how many are new, probe by probe."""
    found = [doctor.examine(Vitals(10 * step, numbers, {})) for step, numbers in enumerate(probes, start)]
    return [(len(diagnosis.holding), len(diagnosis.new)) for diagnosis in found]


def test_a_finding_is_believed_after_some_probes_in_a_row_and_said_once() -> None:
    doctor = Doctor({"moody": Moody()}, facts(), warm_up=-1)
    sick, well = {"moody": 1.0}, {"other": 1.0}
    assert examined(doctor, sick, sick, well, sick, sick, sick, sick) == [
        (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (1, 1), (1, 0),
    ]  # fmt: skip
    assert examined(doctor, {"moody": 9.0}, start=7) == [(1, 1)], "it has become fatal"
    assert examined(doctor, sick, sick, start=8) == [(1, 0), (1, 0)]
    assert doctor.examine(Vitals(99, well, {})).holding, "too soon to judge again"


def test_the_warm_up_is_not_judged_but_by_rules_that_cannot_wait() -> None:
    sick = {"moody": 9.0}
    assert examined(Doctor({"moody": Moody()}, facts(), warm_up=50), *[sick] * 9)[5:] == [
        (0, 0),
        (0, 0),
        (0, 0),
        (1, 1),
    ]
    early = Doctor({"moody": Moody(early=True)}, facts(), warm_up=50)
    assert examined(early, *[sick] * 3) == [(0, 0), (0, 0), (1, 1)]
    mild = Doctor({"moody": Moody(early=True)}, facts(), warm_up=50)
    assert examined(mild, *[{"moody": 1.0}] * 4) == [(0, 0)] * 4


def test_what_follows_from_another_finding_says_so_and_stays_so() -> None:
    rules = {"root": Moody("root", explains=("leaf",)), "leaf": Moody("leaf")}
    doctor = Doctor(rules, facts(), warm_up=-1)
    both = {"root": 1.0, "leaf": 1.0}
    examined(doctor, both, both)
    found = {finding.code: finding.because for finding in doctor.examine(Vitals(30, both, {})).holding}
    assert found == {"root": "", "leaf": "root here"}
    (leaf,) = doctor.examine(Vitals(40, {"leaf": 1.0}, {})).holding
    assert leaf.because == "root here"


def test_a_resumed_doctor_goes_on_where_it_was() -> None:
    sick = {"moody": 1.0}
    whole, first, second = (Doctor({"moody": Moody()}, facts(), warm_up=-1) for _ in range(3))
    expected = examined(whole, *[sick] * 6)
    begun = examined(first, *[sick] * 2)
    second.load_state_dict(first.state_dict())
    assert begun + examined(second, *[sick] * 4, start=2) == expected


def test_a_rule_that_fails_is_asked_no_more_and_the_others_are() -> None:
    class Fails(Moody):
        def judge(self, vitals: Vitals, history: Any, facts: Facts) -> Iterable[Finding]:
            raise KeyError("rho")

    doctor = Doctor({"fails": Fails("fails"), "moody": Moody()}, facts(), warm_up=-1)
    first = doctor.examine(Vitals(0, {"moody": 1.0}, {}))
    assert first.failed == ("rule 'fails' failed and is asked no more: KeyError: 'rho'",)
    assert doctor.examine(Vitals(10, {"moody": 1.0}, {})).failed == ()
    assert len(doctor.examine(Vitals(20, {"moody": 1.0}, {})).holding) == 1


def test_what_lasts_explains_nothing_that_began_before_it() -> None:
    root, leaf = Moody("root", explains=("leaf",), lasting=True), Moody("leaf")
    doctor = Doctor({"root": root, "leaf": leaf}, facts(), warm_up=-1)
    probes = [{"leaf": 1.0}] * 3 + [{"root": 1.0}] * 3 + [{"leaf": 1.0}] * 3
    last = [doctor.examine(Vitals(10 * i, numbers, {})) for i, numbers in enumerate(probes)][-1]
    assert [finding.because for finding in last.holding] == [""]


def test_no_rule_explains_what_explains_it() -> None:
    """Else two findings would each follow from the other, and nobody would be told what to change."""
    graph = {name: set(getattr(rule, "explains", ())) for name, rule in RULES.items()}
    assert set().union(*graph.values()) <= set(RULES)

    def reached(name: str, seen: frozenset[str]) -> set[str]:
        return set().union(*({n} | reached(n, seen | {n}) for n in graph[name] - seen)) if graph[name] - seen else set()

    assert [name for name in graph if name in reached(name, frozenset())] == []


def test_numbers_that_are_not_finite_are_not_smoothed_away() -> None:
    history = History()
    for value in (1.0, math.nan, 2.0):
        taken = history.take(Vitals(1, {"x": value}, {}))
    assert taken.numbers["x"] == 2.0
    assert math.isnan(history.take(Vitals(2, {"x": math.nan}, {})).numbers["x"])


def test_words_name_the_step_the_place_the_numbers_and_what_to_do() -> None:
    finding = Finding("x", "warn", "here", {"A": 0.12345}, "", "It is so.", "Change it.", step=7)
    assert in_words(finding) == "step 7: warn: x in here (A 0.123): It is so. Change it."
