"""Every rule: numbers that make it speak and those that do not, what to change; and how the doctor believes."""

import math
import random
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

import gancore
from gancore.assemble.blueprint import Blueprint
from gancore.contracts import Change, DataSpec, Facts, Finding, Judges, Lints, Vitals
from gancore.experiment.fix import apply
from gancore.health.doctor import Diagnosis, Doctor, in_words
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
        (Change(("optimizer", "generator", "lr"), 0.01),),
    ),
    (
        "lr-too-low", {"update/generator": 2e-7},
        {"tables": {"optimizer": {"generator": {"name": "adam", "lr": 1e-7}}}}, "warn", "generator",
        (Change(("optimizer", "generator", "lr"), 5e-4),),
    ),
    (
        "lr-too-low", {"update/generator": 1e-6},
        {"tables": {"optimizer": {"generator": {"name": "sgd", "lr": 1e-2}}}}, "warn", "generator",
        (Change(("optimizer", "generator", "lr"), 1.0),),
    ),
    (
        "lr-too-low", {"update/generator": 1e-6},
        {"tables": {"optimizer": {"generator": {"name": "adam", "lr": 0.1}}}}, "warn", "generator", (),
    ),
    ("lr-too-low", {"update/generator": 0.0}, {}, "warn", "generator", ()),
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
        "penalty-imbalance", {"gap": 1e-9, "auc": 0.95},
        {"tables": {"regularizer": {"r1": {"gamma": 3000.0, "every": 1}}}}, "warn", "discriminator",
        (Change(("regularizer", "r1", "gamma"), 3.0),),
    ),
    (
        "penalty-imbalance", {"penalty/discriminator": 1e-5},
        {"tables": {"regularizer": {"r1": {"gamma": 1e-6, "every": 1}}}}, "note", "discriminator",
        (Change(("regularizer", "r1", "gamma"), 1e-3),),
    ),
    (
        "penalty-imbalance", {"penalty/discriminator": 1e30},
        {"tables": {"regularizer": {"r1": {"gamma": 10.0, "every": 1}}}}, "warn", "discriminator", (),
    ),
    (
        "penalty-imbalance", {"penalty/generator": 80.0},
        {"tables": {"regularizer": {"r1": {"gamma": 10.0}, "odd": {"on": "generator", "weight": 9.0}}}}, "warn",
        "generator", (),
    ),
    (
        "penalty-imbalance", {"penalty/discriminator": 20.0},
        {"tables": {"regularizer": {"r1": {"gamma": 10.0}, "r1-2": {"name": "r1", "gamma": 1.0}}}}, "warn",
        "discriminator",
        (Change(("regularizer", "r1", "gamma"), 0.5), Change(("regularizer", "r1-2", "gamma"), 0.05)),
    ),
    (
        "critic-flat", {"B": 1e-4, "auc": 0.5},
        {"tables": {"regularizer": {"wgan-gp": {"weight": 10.0}, "r2": {"gamma": 8.0}}}}, "warn",
        "factor B (discriminator)", (Change(("regularizer", "r2", "gamma"), 2.0),),
    ),
    (
        "critic-flat", {"B": 0.0, "auc": 0.99}, {}, "warn", "factor B (discriminator)",
        (Change(("optimizer", "discriminator", "lr"), 4e-3),),
    ),
    (
        "critic-steep", {"slope": 3.0},
        {"lipschitz": True, "tables": {"regularizer": {"r1": {"gamma": 1.0}, "wgan-gp": {"weight": 0.01}}}}, "warn",
        "slope between reals and fakes", (Change(("regularizer", "wgan-gp", "weight"), 0.1),),
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


def said_of(norms: Iterable[float]) -> list[Finding]:
    """What the doctor says, probe by probe, of a generator whose gradient has these norms."""
    doctor = Doctor({"exploding": RULES["exploding"]()}, facts(), warm_up=-1)
    probes = (Vitals(10 * i, {"gradient/generator": norm}, {}) for i, norm in enumerate(norms))
    return [finding for probe in probes for finding in doctor.examine(probe).new]


@pytest.mark.parametrize("times", [10.0, 100.0, 1e5])
def test_a_jump_does_not_make_itself_usual_before_it_is_said(times: float) -> None:
    (finding,) = said_of([1.0] * 20 + [times] * 3)
    assert (finding.code, finding.where, finding.step) == ("exploding", "generator", 220)
    assert finding.evidence["standard deviations"] > 4


def test_a_level_that_stays_becomes_usual_in_the_end() -> None:
    assert len(said_of([1.0] * 20 + [100.0] * 60 + [1e4] * 3)) == 2, "and from there another jump is one"


def test_fluctuations_a_slow_drift_and_a_fast_begin_are_no_explosion() -> None:
    draws = random.Random(0)
    assert said_of(math.exp(draws.gauss(0, 0.5)) for _ in range(1000)) == []
    assert said_of(1e-3 * 1.05**i for i in range(300)) == []
    assert said_of([1e-3, 1e-2, 0.1, 1.0] + [1.0] * 20) == []
    assert said_of([0.0] * 20 + [1.0] * 20) == [], "nothing is no level to rise from"


def test_a_rate_that_kills_units_is_lowered_in_both_networks() -> None:
    """Where D is dead nothing arrives at G, and nobody can tell whether its units are as well."""
    table = {role: {"name": "adam", "lr": 0.1} for role in ("discriminator", "generator")}
    known = facts(tables={"optimizer": table})
    (finding,) = judged("dead-units", {}, known, layers=layers(0.1, 1.0, dead=[1.0]))
    assert finding.changes[-2:] == (
        Change(("optimizer", "generator", "lr"), 1e-3),
        Change(("optimizer", "discriminator", "lr"), 1e-3),
    )
    assert finding.remedy == (
        "Use leaky ReLUs with He initialisation in the generator, set the generator's learning rate to 0.001, "
        "set the discriminator's learning rate to 0.001."
    )


def test_where_no_gradient_arrives_no_learning_rate_is_to_blame() -> None:
    assert judged("lr-too-low", {"update/generator": 0.0, "gradient/generator": 0.0}) == []


def test_where_the_loss_is_flat_ds_slope_cannot_be_heard() -> None:
    assert judged("critic-flat", {"B": 0.0, "A": 0.0, "auc": 0.5}) == []


def test_what_drowns_in_anything_is_not_drowned_by_the_penalty() -> None:
    """Hinge: D's loss has no slope at all beyond the margin."""
    penalised = facts(tables={"regularizer": {"r1": {"gamma": 1.0}}})
    assert judged("penalty-imbalance", {"penalty/discriminator": 1e30, "discriminator/A": 0.0}, penalised) == []


def test_a_penalty_that_lets_d_be_steep_does_not_mute_it() -> None:
    held_at_1 = facts(tables={"regularizer": {"wgan-gp": {"weight": 3000.0}}})
    assert judged("penalty-imbalance", {"gap": 0.001, "auc": 0.95}, held_at_1) == []


def test_a_rate_that_is_high_already_is_not_raised() -> None:
    fast = facts(tables={"optimizer": {"discriminator": {"name": "adam", "lr": 0.02}}})
    (finding,) = judged("g-dominates", {"auc": 0.2}, fast)
    assert finding.changes == ()
    assert finding.remedy.startswith("Leave the discriminator's learning rate")


def test_the_interval_of_one_networks_penalties_says_nothing_of_the_others() -> None:
    lazy = facts(tables={"regularizer": {"odd": {"on": "generator", "every": 16}, "r1": {"gamma": 1.0, "every": 1}}})
    assert judged("penalty-imbalance", {"penalty/discriminator": 50.0}, lazy) != []
    assert judged("penalty-imbalance", {"penalty/generator": 50.0}, lazy) == []


# ------------------------------------------------------------------------------------ what a network's output is


class Ends(nn.Module):
    """Scores or samples that `end` makes of what a linear layer gives."""

    def __init__(self, inner: list[nn.Module], end: Callable[[Any, Tensor], Tensor], *later: nn.Module) -> None:
        super().__init__()
        self.inner, self.end, self.later = nn.Sequential(*inner), end, nn.ModuleList(later)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.end(self, x)


@frozen(eq=False)
class Networks:
    """A model of two networks that stand ready to be built."""

    G: Callable[[], nn.Module]
    D: Callable[[], nn.Module]
    latent_dim: int = 3

    def generator(self, data: DataSpec) -> nn.Module:
        return self.G()

    def discriminator(self, data: DataSpec) -> nn.Module:
        return self.D()


def ended(inner: Callable[[], list[nn.Module]], end: Callable[[Any, Tensor], Tensor], *later: nn.Module) -> Facts:
    """Facts of a G and a D that end like this, as `verify` has found them out."""
    n = 4
    model = Networks(
        lambda: Ends([nn.Linear(3, n), *inner()], end, *later),
        lambda: Ends([nn.Linear(n, 1), *inner()], lambda net, x: end(net, x)[:, 0], *later),
    )
    spec = DataSpec((n,), range=(-1.0, 1.0))
    both: Any = {"generator": model, "discriminator": model}
    blueprint = Blueprint(spec, both, dict.fromkeys(both, ()), 3, dict.fromkeys(both, "model"))
    blueprint.verify(4)
    return facts(data=spec, ends=blueprint.ends)


def codes(known: Facts) -> list[str]:
    return [finding.code for rule in ("sigmoid-on-logits", "output-range") for finding in RULES[rule]().lint(known)]


def inner(net: Any, x: Tensor) -> Tensor:
    made: Tensor = net.inner(x)
    return made


@pytest.mark.parametrize(
    "then",
    [list, lambda: [nn.Identity()], lambda: [nn.Unflatten(1, (-1, 1)), nn.Flatten()], lambda: [nn.ReLU(True)]],
    ids=["the last one", "identity", "views", "in place"],
)
def test_what_makes_the_output_is_found_behind_views(then: Callable[[], list[nn.Module]]) -> None:
    known = ended(lambda: [nn.Sigmoid(), *then()], inner)
    expected = nn.ReLU if any(isinstance(module, nn.ReLU) for module in then()) else nn.Sigmoid
    assert {type(module) for module in known.ends.values()} == {expected}
    assert codes(known) == (["sigmoid-on-logits"] if expected is nn.Sigmoid else []) + ["output-range"]


def test_a_gate_that_was_registered_last_is_not_the_end() -> None:
    def gated(net: Any, x: Tensor) -> Tensor:
        made: Tensor = net.inner(x)
        return made * net.later[0](made)

    assert codes(ended(list, gated, nn.Sigmoid())) == []


def test_of_an_output_that_a_function_makes_nothing_is_said() -> None:
    assert codes(ended(lambda: [nn.ReLU()], lambda net, x: torch.tanh(net.inner(x)))) == []
    assert codes(ended(lambda: [nn.ReLU()], lambda net, x: net.inner(x).sub_(1))) == []


def test_a_module_that_is_registered_before_the_end_may_be_it() -> None:
    known = ended(lambda: [nn.Sigmoid()], inner, nn.Linear(2, 2))
    assert codes(known) == ["sigmoid-on-logits", "output-range"]


# ------------------------------------------------------------------------------------ the same component twice


TWICE = """
[train]
steps = 10
[data]
name = "digits"
[model]
name = "mlp"
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
[[regularizer]]
name = "gradient-clipping"
on = "discriminator"
limit = 1.0
[[regularizer]]
name = "gradient-clipping"
on = "generator"
limit = 2.0
"""


def test_facts_and_remedies_have_the_same_names_for_two_of_a_kind(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(TWICE)
    known = gancore.load(tmp_path / "x.toml").assemble().checkup.doctor.facts  # type: ignore[union-attr]
    limits = {key: table["limit"] for key, table in known.tables["regularizer"].items()}
    assert limits == {"gradient-clipping": 1.0, "gradient-clipping-2": 2.0}
    changes = [Change(("regularizer", key, "limit"), 10 * limit) for key, limit in limits.items()]
    assert [table["limit"] for table in tomllib.loads(apply(TWICE, changes))["regularizer"]] == [10.0, 20.0]


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


def test_what_d_makes_of_the_fakes_is_evidence_and_no_verdict() -> None:
    """A D that has put all fakes into one place may teach a diverse G."""
    assert judged("mode-collapse", {"diversity": 0.95, "diversity/features": 0.0}, before=20) == []
    (finding,) = judged("mode-collapse", {"diversity": 0.0, "diversity/features": 0.3}, before=20)
    assert finding.evidence["diversity in D's features"] == 0.3


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
    assert examined(doctor, sick, {"moody": 9.0}, start=8) == [(1, 0), (1, 0)], "as grave as it was already"
    assert doctor.examine(Vitals(99, well, {})).holding, "too soon to judge again"


def test_what_has_passed_is_news_when_it_comes_again() -> None:
    doctor = Doctor({"moody": Moody()}, facts(), warm_up=-1)
    sick = {"moody": 1.0}
    assert examined(doctor, sick, sick, sick, {}, sick, sick, sick, sick) == [
        (0, 0), (0, 0), (1, 1), (0, 0), (0, 0), (0, 0), (1, 1), (1, 0),
    ]  # fmt: skip


def wandering(*shares: tuple[float, float]) -> list[Diagnosis]:
    """What the doctor says of a generator with these shares of dead units in two layers, probe by probe."""
    doctor = Doctor({"dead-units": RULES["dead-units"](warn=0.5)}, facts(), warm_up=-1)
    probes = (layers(1.0, 1.0, 1.0, dead=pair) for pair in shares)
    return [doctor.examine(Vitals(10 * i, {}, {"generator": found})) for i, found in enumerate(probes)]


def test_two_layers_that_are_the_worst_in_turn_are_one_finding() -> None:
    said = wandering((0.8, 0.7), (0.7, 0.8), (0.8, 0.7), (0.7, 0.8), (0.8, 0.7))
    assert [len(diagnosis.new) for diagnosis in said] == [0, 0, 1, 0, 0]
    assert [[(f.where, f.step) for f in diagnosis.holding] for diagnosis in said[2:]] == [
        [("generator layers.0", 20)], [("generator layers.0", 30)], [("generator layers.0", 40)],
    ]  # fmt: skip


def test_a_layer_where_it_becomes_graver_is_named() -> None:
    said = wandering(*[(0.8, 0.0)] * 3, (0.8, 0.95))
    assert [(f.severity, f.where) for diagnosis in said for f in diagnosis.new] == [
        ("warn", "generator layers.0"),
        ("fatal", "generator layers.1"),
    ]


def test_networks_and_factors_are_told_apart() -> None:
    class Turns(Moody):
        places = ("", "")

        def judge(self, vitals: Vitals, history: Any, facts: Facts) -> Iterable[Finding]:
            for finding in super().judge(vitals, history, facts):
                yield attrs.evolve(finding, where=self.places[vitals.step // 10 % 2])

    for places in (("factor A (loss)", "factor B (discriminator)"), ("generator layers.0", "discriminator layers.0")):
        doctor = Doctor({"moody": Turns(places=places)}, facts(), warm_up=-1)
        assert examined(doctor, *[{"moody": 1.0}] * 6) == [(0, 0)] * 6


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
    for value in (2.0, 2.0, 2.0, 100.0):
        history.take(Vitals(3, {"x": value}, {}))
    assert history.surprise("x") is not None
    history.take(Vitals(4, {"x": math.nan}, {}))
    assert history.surprise("x") is None, "the last one's surprise is not this one's"


def test_nothing_at_all_is_not_smoothed_away() -> None:
    history = History()
    taken = [history.take(Vitals(step, {"B": value}, {})).numbers["B"] for step, value in enumerate((4.0, 0.0, 2.0))]
    assert taken == [4.0, 0.0, 2.0]


def test_words_name_the_step_the_place_the_numbers_and_what_to_do() -> None:
    finding = Finding("x", "warn", "here", {"A": 0.12345}, "", "It is so.", "Change it.", step=7)
    assert in_words(finding) == "step 7: warn: x in here (A 0.123): It is so. Change it."
    assert in_words(attrs.evolve(finding, evidence={})) == "step 7: warn: x in here: It is so. Change it."


def test_a_rule_that_fails_before_the_first_step_ends_nothing() -> None:
    class Fails(Moody):
        def lint(self, facts: Facts) -> Iterable[Finding]:
            raise KeyError("optimizer")

    found = Doctor({"fails": Fails("fails")}, facts(), warm_up=-1).lint()
    assert (found.new, found.failed) == ((), ("rule 'fails' failed: KeyError: 'optimizer'",))
