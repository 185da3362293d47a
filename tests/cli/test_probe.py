"""`gancore probe`: the gradient at every layer, before anything is trained."""

import json
from pathlib import Path
from typing import Any

import pytest

Gancore = Any

DEEP = ("--set", "model.hidden=[16,16,16,16,16,16,16,16]", "--set", "model.activation=sigmoid")


def test_a_deep_sigmoid_network_vanishes_and_the_remedy_is_shown(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    said = gancore("probe", tiny, *DEEP)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "tiny  at initialisation"
    assert lines.index("generator") < lines.index("discriminator")
    rows = [line.split() for line in lines if line.startswith("  layers.")]
    assert [row[0] for row in rows] == [f"layers.{i}" for i in range(0, 18, 2)] * 2
    signals = [float(row[1]) for row in rows[:9]]
    assert signals == sorted(signals)
    assert rows[8][2] == "1"
    assert {row[-1] for row in rows} == {"0%"}
    assert [line.split()[0] for line in lines if line.startswith(("  A  ", "  rho("))] == [
        "A", "rho(G)", "rho(D)",
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("fatal  ")] == [
        "fatal  vanishing-depth in discriminator layers.0",
        "fatal  vanishing-depth in generator layers.0",
    ]
    assert lines.count('    +activation = "leaky-relu"') == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]  # no run folder, nothing


def test_a_shallow_network_is_fine(gancore: Gancore, tiny: Path) -> None:
    said = gancore("probe", tiny)
    assert said.code == 0
    last = said.out.splitlines()[-1]
    assert last.startswith("fine  the gradient reaches the first layers: ")
    assert last.endswith(" of it in the discriminator")


def test_json_is_for_scripts_and_the_same_every_time(gancore: Gancore, tiny: Path) -> None:
    first, second = (gancore("probe", tiny, *DEEP, "--json") for _ in range(2))
    assert (first.code, first.err) == (0, "")
    assert first.out == second.out
    told = json.loads(first.out)
    assert list(told) == ["verdict", "numbers", "layers", "findings"]
    assert told["verdict"] == "vanishing"
    assert told["numbers"]["rho/generator"] < 1e-5
    assert list(told["layers"]["generator"]["layers.0"]) == ["gradient", "dead"]
    assert {finding["code"] for finding in told["findings"]} == {"vanishing-depth"}


def test_thresholds_are_those_of_the_experiment(gancore: Gancore, tiny: Path) -> None:
    lenient = ("--set", "health.vanishing-depth.warn=1e-30", "--set", "health.vanishing-depth.fatal=1e-31")
    assert json.loads(gancore("probe", tiny, *DEEP, *lenient, "--json").out)["verdict"] == "fine"
    strict = ("--set", "health.vanishing-depth.warn=0.99", "--set", "health.vanishing-depth.fatal=0.98")
    assert json.loads(gancore("probe", tiny, *strict, "--json").out)["verdict"] == "vanishing"


def test_weights_that_blow_up_explode(tiny: Path) -> None:
    """Each of G's layers multiplies the signal on its way back."""
    import torch

    import gancore
    from gancore.cli.probe import _judge, at_start

    loaded = gancore.load(tiny, ["model.hidden=[16,16,16,16]", "model.activation=leaky-relu"])
    run = loaded.assemble()
    with torch.no_grad():
        for layer in list(run.game.generator.network.layers)[2:-1:2]:  # the last one would drive its tanh flat
            layer.weight.mul_(20)
            layer.bias.zero_()
    found = _judge(loaded.experiment, run, at_start(run))
    assert [(finding.code, finding.where) for finding in found] == [("exploding", "generator layers.0")]


def test_it_measures_also_where_the_experiment_does_not_probe(gancore: Gancore, tiny: Path) -> None:
    assert gancore("probe", tiny, "--set", "health.probe=false", "--json").code == 0


@pytest.mark.parametrize("loss", ["wgan-gp", "relativistic", "hinge"])
def test_every_kind_of_game_can_be_probed(loss: str, gancore: Gancore, tiny: Path) -> None:
    told = json.loads(gancore("probe", tiny, "--set", f"loss.name={loss}", "--set", "train.n_critic=3", "--json").out)
    assert {"A", "B", "C", "auc"} <= told["numbers"].keys()
    assert not [name for name in told["numbers"] if name.startswith("update/")]
    assert set(told["layers"]) == {"generator", "discriminator"}


def test_nothing_is_trained(tiny: Path) -> None:
    import torch

    import gancore
    from gancore.cli.probe import at_start

    run = gancore.load(tiny, ["loss.name=wgan-gp", 'regularizer=[{name="weight-clipping"}]']).assemble()
    trained = [*run.game.discriminator.network.parameters(), *run.game.generator.network.parameters()]
    before = [p.detach().clone() for p in trained]
    vitals = at_start(run)
    assert all(torch.equal(old, new) for old, new in zip(before, trained, strict=True))
    assert (vitals.step, run.step) == (0, 0)


def test_all_batches_meet_the_weights_that_training_meets(tiny: Path, install: Any) -> None:
    """A regularizer that changes weights has acted on them once, however often it would."""
    import gancore
    from gancore.cli.probe import at_start

    install("gancore-halving", halving=HALVING)
    said = ['regularizer=[{name="halving"}]', "model.activation=relu"]
    plain, halved = (gancore.load(tiny, sets).assemble() for sets in ([], said))
    measured = [at_start(run).layers["discriminator"]["layers.0"]["gradient"] for run in (plain, halved)]
    assert measured[1] / measured[0] == pytest.approx(0.5, rel=0.25), "the last layer's weights are half as large"


HALVING = """
from gancore import Component, component, hookimpl, option, On

@component
class Halving:
    on: On = option("discriminator", "Which.")

    def parameters_updated(self, parameters, context):
        for parameter in parameters:
            parameter.mul_(0.5)

@hookimpl
def gancore_regularizers():
    return [Component("halving", "halving:Halving", "Halves.")]
"""


def test_dead_units_are_seen_at_once(tiny: Path) -> None:
    import torch

    import gancore
    from gancore.cli.probe import at_start

    run = gancore.load(tiny, ["model.activation=relu"]).assemble()
    first = next(m for m in run.game.generator.network.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        first.bias.fill_(-100.0)
    layers = at_start(run).layers["generator"]
    assert layers["layers.0"] == {"gradient": 0.0, "dead": 1.0}
    assert layers["layers.2"]["gradient"] > 0


def test_a_bar_has_a_place_for_everything() -> None:
    from gancore.cli.probe import BAR, bar

    assert bar(1.0, -4, 0) == "█" * BAR
    assert bar(1e-2, -4, 0) == "█" * (BAR // 2) + " " * (BAR // 2)
    assert bar(1e-9, -4, 0).strip() == ""
    assert bar(0.0, -4, 0).strip() == "exactly 0"
    assert bar(float("nan"), -4, 0).strip() == bar(float("inf"), -4, 0).strip() == "not finite"
    assert {len(bar(value, -4, 0)) for value in (0.0, 1e-9, 3e-3, 0.2, 1.0, 1e9, float("nan"))} == {BAR}


@pytest.mark.parametrize("name", ["flow.svg", "flow.png"])
def test_the_picture_is_what_its_name_says(name: str, gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    said = gancore("probe", tiny, "-o", name)
    assert said.code == 0
    assert said.out.endswith(f"\n{name}\n")
    begin = (tmp_path / name).read_bytes()[:8]
    assert begin == (b"<?xml ve" if name.endswith("svg") else b"\x89PNG\r\n\x1a\n")


def test_another_kind_of_picture_is_refused_before_anything_is_measured(gancore: Gancore, tiny: Path) -> None:
    said = gancore("probe", tiny, "-o", "flow.pdf")
    assert (said.code, said.out, said.err) == (2, "", "flow.pdf: expected a name that ends in .svg or .png\n")


def test_without_matplotlib_the_picture_says_what_to_install(
    gancore: Gancore, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancore.health.report.export.find_spec", lambda name: None)
    said = gancore("probe", tiny, "-o", "flow.svg")
    assert (said.code, said.out) == (2, "")
    assert said.err == "-o draws with matplotlib, which is not installed: python -m pip install 'gancore[report]'\n"
