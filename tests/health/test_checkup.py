"""When a run is probed, and when somebody looks at what was measured."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gancore
from gancore import checkpoint
from gancore.contracts import Vitals
from gancore.health.doctor import Doctor
from gancore.health.probe import Probe
from gancore.training.checkup import Checkup
from gancore.training.run import Run

EXPERIMENT = """
[train]
batch_size = 16
device = "cpu"
[data]
name = "digits"
[model]
name = "mlp"
latent_dim = 8
hidden = [24, 20, 16]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
lr = 1e-2
"""


@given(every=st.integers(1, 120), phases=st.integers(1, 5), rhythm=st.integers(0, 200))
def test_penalties_are_weighed_once_in_every_round(every: int, phases: int, rhythm: int) -> None:
    """At its end: where it can be, with everything else that is measured."""
    checkup = Checkup(Probe(), Doctor({}, Any, 0), every)  # type: ignore[arg-type]
    player: Any = SimpleNamespace(role="discriminator", slowest_penalty=rhythm)
    interval = checkup.round
    assert interval % every == 0
    for begin in (0, interval):
        weighed = []
        for step in range(begin, begin + interval):
            tapped = [i for i in range(step * phases, (step + 1) * phases) if checkup.taps(player, i, phases).kind[1]]
            probed = (step + 1) % every == 0
            kinds = [checkup.taps(player, i, phases).kind for i in range(step * phases, (step + 1) * phases)]
            assert [whole for whole, _, _ in kinds] == [False] * (phases - 1) + [probed]
            assert not checkup.rests(step, -(-rhythm // phases)) or not any(map(any, kinds))
            weighed += tapped
            if rhythm == 1 and tapped:
                assert kinds[-1] == (True, True, True)
        assert all(index % rhythm == 0 for index in weighed)
        if 0 < rhythm <= interval * phases:
            assert len(weighed) == 1
        else:
            assert len(weighed) <= 1


@pytest.mark.parametrize("lag", [0, 5])
def test_probes_of_neighbouring_steps_are_fetched_together(
    lag: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU some steps later: what is asked of it meanwhile keeps it busy."""
    file = tmp_path / "x.toml"
    file.write_text(EXPERIMENT)
    settings = ['callback=[{name="health"}]', "health.every=1", "train.steps=45", "log.every=1000"]
    run = gancore.load(file, settings).assemble(out=tmp_path / "run")
    assert run.checkup is not None
    run.checkup = attrs.evolve(run.checkup, lag=lag)
    looks: dict[int, list[int]] = {}
    following = Probe.next

    def noted(self: Probe, until: float = math.inf) -> Vitals | None:
        found = following(self, until)
        if found is not None:
            looks.setdefault(run.step, []).append(found.step)
        return found

    monkeypatch.setattr(Probe, "next", noted)
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "run" / "health.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 46))
    first, second = list(range(1, 21)), list(range(21, 41))
    last = list(range(41, 46))
    assert looks == ({25: first, 45: [*second, *last]} if lag else {20: first, 40: second, 45: last})
    assert all(line["numbers"]["A"] > 0 and line["layers"]["generator"] for line in lines)
    assert len({line["numbers"]["A"] for line in lines}) == 45, "every step's own"


@given(every=st.integers(1, 300), step=st.integers(0, 2000), lag=st.integers(0, 9))
def test_looks_come_in_one_rhythm_wherever_a_run_begins(every: int, step: int, lag: int) -> None:
    checkup = Checkup(Probe(), Doctor({}, Any, 0), every, lag)  # type: ignore[arg-type]
    look, later = checkup.next_look(step), checkup.next_look(step + 1)
    assert step < look <= step + checkup.rhythm + lag
    assert (look - lag) % checkup.rhythm == 0
    assert later == (look if look > step + 1 else look + checkup.rhythm)
    assert checkup.rhythm % every == 0, "what is looked at last was probed"


def test_what_is_saved_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.toml"
    file.write_text(EXPERIMENT)
    settings = ['callback=[{name="health"}, {name="checkpoint", every=10}]', "health.every=1", "train.steps=35"]
    run = gancore.load(file, settings).assemble(out=tmp_path / "run")
    assert run.checkup is not None
    run.checkup = attrs.evolve(run.checkup, lag=5)
    lines: list[int] = []
    pending: list[int] = []
    save = Run.save

    def noted(run: Run, *given: Any) -> Path:
        folder = save(run, *given)
        assert run.checkup is not None
        pending.append(len(run.checkup.probe.state_dict()["closed"]))
        lines.append(len((tmp_path / "run" / "health.jsonl").read_text().splitlines()))
        return folder

    monkeypatch.setattr(Run, "save", noted)
    run.train()
    assert not any(pending)
    assert sorted(set(lines)) == [10, 20, 30, 35]


@pytest.mark.parametrize("strict", ["true", "false"])
def test_what_was_probed_before_a_training_is_judged_in_it(strict: str, tmp_path: Path) -> None:
    """A script takes steps, saves and trains on: callbacks hear of nothing before the training begins."""
    file = tmp_path / "x.toml"
    file.write_text(EXPERIMENT)
    settings = ["health.every=10", "health.warm_up=0", "train.steps=150", f"train.strict={strict}"]
    run = gancore.load(file, settings).assemble(out=tmp_path / "run")
    run.advance(60)
    run.folder.mkdir(parents=True, exist_ok=True)
    run.save()
    assert not (tmp_path / "run" / "health.jsonl").exists()
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "run" / "health.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(10, 151, 10))


def test_one_who_saves_what_he_is_told_of_has_the_rest_in_it(tmp_path: Path) -> None:
    class Saves:
        def probed(self, run: Any, vitals: Vitals, findings: Any) -> None:
            told.append(vitals.step)
            if vitals.step == 3:
                saved.append(checkpoint.load(run.save()))

    file = tmp_path / "x.toml"
    file.write_text(EXPERIMENT)
    settings = ["callback=[]", "health.every=1", "train.steps=45"]
    run = gancore.load(file, settings).assemble(out=tmp_path / "run")
    told: list[int] = []
    saved: list[Any] = []
    run.observers.callbacks = {"saves": Saves(), **run.callbacks}
    run.train()
    assert told == list(range(1, 46))
    resumed = gancore.load(file, settings).assemble()
    resumed.load_state_dict(saved[0])
    assert resumed.checkup is not None
    assert [vitals.step for vitals in resumed.checkup.probe.fetched()] == list(range(4, resumed.step + 1))
