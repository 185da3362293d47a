"""Same seed, same bits; resumed equals uninterrupted, bit by bit."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from gancore import Change, Facts, Finding, History, Vitals, checkpoint
from gancore.health.doctor import Doctor

EXPERIMENTS = ("mlp_adam", "dcgan_lazy", "wgan_gp")


def differences(a: Any, b: Any, path: str = "") -> list[str]:
    """Where two states differ; bits, not closeness."""
    if isinstance(a, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
        return [] if same else [path]
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return [f"{path}: keys"]
        return [found for key in a for found in differences(a[key], b[key], f"{path}/{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f"{path}: length"]
        return [found for i, (x, y) in enumerate(zip(a, b, strict=True)) for found in differences(x, y, f"{path}/{i}")]
    return [] if a == b else [path]


def trained(run: Any, steps: int) -> Any:
    run.advance(steps)
    return run


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_one_seed_gives_identical_states(name: str, assemble: Any, experiments: dict[str, str]) -> None:
    first, second = (trained(assemble(experiments[name]), 4).state_dict() for _ in range(2))
    assert differences(first, second) == []


def test_another_seed_gives_other_weights(assemble: Any, experiments: dict[str, str]) -> None:
    first = trained(assemble(experiments["mlp_adam"]), 2).state_dict()
    second = trained(assemble(experiments["mlp_adam"], "train.seed=1"), 2).state_dict()
    assert differences(first["generator"]["network"], second["generator"]["network"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_half_checkpoint_half_equals_the_whole(
    name: str, assemble: Any, experiments: dict[str, str], tmp_path: Path
) -> None:
    """2N steps = N steps, a checkpoint on disk, a new run, N steps; also across an epoch and a lazy rhythm."""
    n = 6
    probed = ("health.every=1", "train.held_out=2")
    whole = trained(assemble(experiments[name], *probed), 2 * n)
    half = trained(assemble(experiments[name], *probed), n)
    folder = checkpoint.save(tmp_path / "run", half.step, half.state_dict())
    torch.manual_seed(999)  # whatever else happened in the process must not matter
    resumed = assemble(experiments[name], *probed)
    resumed.load_state_dict(checkpoint.load(folder))
    assert resumed.step == n
    assert differences(whole.state_dict(), trained(resumed, n).state_dict()) == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_state_stays_as_it_is_when_a_run_has_loaded_it_and_goes_on(
    name: str, assemble: Any, experiments: dict[str, str]
) -> None:
    run, other = (assemble(experiments[name], "health.every=1") for _ in range(2))
    state = copy.deepcopy(trained(run, 2).state_dict())
    before = copy.deepcopy(state)
    other.load_state_dict(state)
    other.advance(3)
    assert differences(state, before) == []


def test_a_resumed_training_leaves_the_same_record(assemble: Any, experiments: dict[str, str], tmp_path: Path) -> None:
    """stats.jsonl of a run that died after its checkpoint has every step once, with the numbers of the whole run."""
    text = experiments["mlp_adam"]
    assemble(text, "checkpoint.every=6", out=tmp_path / "whole").train()
    died = assemble(text, "checkpoint.every=6", "train.steps=9", out=tmp_path / "died")
    died.train()  # records steps 3, 6 and 9; checkpoints at 6 and 9
    shutil.rmtree(tmp_path / "died" / "checkpoints" / "step-00000009")
    resumed = assemble(text, "checkpoint.every=6")
    resumed.make_folder = lambda: tmp_path / "died"
    resumed.load_state_dict(checkpoint.load_latest(tmp_path / "died")[0])
    resumed.train()
    records = [
        [
            {key: value for key, value in json.loads(line).items() if key != "time"}
            for line in (tmp_path / name / "stats.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "died")
    ]
    assert [record["step"] for record in records[1]] == [3, 6, 9, 12]
    assert records[0] == records[1]


LONGER = (Change(("train", "steps"), 100), Change(("log",)))


class Always:
    """A rule that finds something in every probe, with all that is remembered as its evidence."""

    patience = 2

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterator[Finding]:
        evidence = {name: value for name in vitals.numbers if (value := history.surprise(name)) is not None}
        yield Finding("always", "warn", "game", {**vitals.numbers, **evidence}, "always", "It is.", "Train on.", LONGER)


def test_a_resumed_training_finds_what_the_whole_one_finds(
    assemble: Any, experiments: dict[str, str], tmp_path: Path
) -> None:
    """Smoothed numbers, their history, streaks of findings and dead units go on where they were."""

    def assembled(*overrides: str, out: Path | None = None) -> Any:
        rhythm = ("health.every=5", "checkpoint.every=35", "train.held_out=16", "train.steps=60")
        run = assemble(experiments["mlp_adam"], *rhythm, *overrides, out=out)
        doctor = Doctor({"always": Always()}, run.checkup.doctor.facts, warm_up=10)
        run.checkup = attrs.evolve(run.checkup, doctor=doctor)
        return run

    assembled(out=tmp_path / "whole").train()
    assembled("train.steps=40", out=tmp_path / "died").train()  # checkpoints at 35 and 40
    shutil.rmtree(tmp_path / "died" / "checkpoints" / "step-00000040")
    resumed = assembled()
    resumed.make_folder = lambda: tmp_path / "died"
    resumed.load_state_dict(checkpoint.load_latest(tmp_path / "died")[0])
    resumed.train()
    for file in ("health.jsonl", "health.json"):
        assert (tmp_path / "died" / file).read_text() == (tmp_path / "whole" / file).read_text()
    (finding,) = json.loads((tmp_path / "whole" / "health.json").read_text())["findings"]
    assert finding["first_step"] <= 35 < finding["last_step"]


def test_what_was_measured_before_a_checkpoint_is_not_lost(
    assemble: Any, experiments: dict[str, str], tmp_path: Path
) -> None:
    """Lazy penalties are weighed when they are due, which is seldom in the step that is probed."""
    whole = trained(assemble(experiments["dcgan_lazy"], "health.every=50"), 50)
    half = trained(assemble(experiments["dcgan_lazy"], "health.every=50"), 49)
    folder = checkpoint.save(tmp_path / "run", half.step, half.state_dict())
    resumed = assemble(experiments["dcgan_lazy"], "health.every=50")
    resumed.load_state_dict(checkpoint.load(folder))
    expected, found = (run.checkup.probe.fetch(50).numbers for run in (whole, trained(resumed, 1)))
    assert "penalty/discriminator" in expected
    assert found == expected


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_probing_changes_no_bit_of_the_training(name: str, assemble: Any, experiments: dict[str, str]) -> None:
    unprobed = trained(assemble(experiments[name], "health.probe=false"), 6).state_dict()
    probed = trained(assemble(experiments[name], "health.every=1"), 6).state_dict()
    health = {key for key in probed["components"] if key.startswith("health/")}
    assert health == {"health/probe", "health/doctor"}
    for key in health:
        del probed["components"][key]
    assert differences(unprobed, probed) == []


def test_two_runs_in_one_process_do_not_disturb_each_other(assemble: Any, experiments: dict[str, str]) -> None:
    alone = trained(assemble(experiments["mlp_adam"]), 4)
    one, other = assemble(experiments["mlp_adam"]), assemble(experiments["wgan_gp"])
    for _ in range(4):
        one.advance()
        other.advance()
    assert differences(alone.state_dict(), one.state_dict()) == []


def test_a_run_leaves_the_callers_random_numbers_alone(assemble: Any, experiments: dict[str, str]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run = assemble(experiments["mlp_adam"])
    run.advance(2)
    run.sample(*run.latents(4, 0))
    assert torch.equal(torch.rand(3), expected)


def test_adding_a_component_changes_no_other_stream(assemble: Any, experiments: dict[str, str]) -> None:
    """The latents and the data order are the same with and without instance noise."""
    plain = assemble(experiments["mlp_adam"])
    noisy = assemble(experiments["mlp_adam"] + '[[regularizer]]\nname = "instance-noise"\n')
    for run in (plain, noisy):
        run.advance(2)
    assert torch.equal(plain.game.latents.rng.get_state(), noisy.game.latents.rng.get_state())
    assert plain.game.feed.state_dict() == noisy.game.feed.state_dict()


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("health.jsonl", b"\xff\xfe\x00"),
        ("health.json", b'{"findings": null}'),
        ("health.json", b'{"findings": [{"code": "x"}, 3]}'),
        ("health.json", b"\xff"),
        ("stats.jsonl", b'\xff{"step": 3}'),
    ],
)
def test_damaged_records_of_a_run_do_not_keep_it_from_going_on(
    file: str, damage: bytes, assemble: Any, experiments: dict[str, str], tmp_path: Path
) -> None:
    assemble(experiments["mlp_adam"], "train.steps=12", "health.every=4", out=tmp_path / "run").train()
    with (tmp_path / "run" / file).open("ab" if file.endswith("l") else "wb") as stream:
        stream.write(damage)
    resumed = assemble(experiments["mlp_adam"], "train.steps=20", "train.strict=true", "health.every=4")
    resumed.make_folder = lambda: tmp_path / "run"
    resumed.load_state_dict(checkpoint.load_latest(tmp_path / "run")[0])
    assert resumed.train() == "finished"
    lines = [json.loads(line) for line in (tmp_path / "run" / "health.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20]
