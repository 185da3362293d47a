"""Actions: observe, warn, stop and heal."""

import json
import logging
import math
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

import gancore as package
from gancore import checkpoint
from gancore.assemble.heal import audit, heal
from gancore.cli import main
from gancore.contracts import Change, Facts, Finding, History, Run, Vitals
from gancore.errors import UnhealthyError
from gancore.experiment import Experiment
from gancore.health.doctor import Doctor

EXPERIMENT = """
callback = [{{name = "health"}}, {{name = "stats"}}]
[train]
steps = 300
batch_size = 32
device = "cpu"
[checkpoint]
every = 25
keep = 20
[health]
every = 10
warm_up = 0
action = "{action}"
[data]
name = "ring"
[model]
name = "mlp"
latent_dim = 2
hidden = [32, 32]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
[optimizer.generator]
lr = 1e-1
[optimizer.discriminator]
lr = 1e-3
[[regularizer]]
name = "r1"
gamma = 0.1
"""

Gancore = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gancore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gancore:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gancore", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_observing_goes_on_to_the_end(gancore: Gancore, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(EXPERIMENT.format(action="observe"))
    code, _, _ = gancore("train", "x.toml", "--out", "run")
    assert code == 0
    findings = json.loads((tmp_path / "run" / "health.json").read_text())["findings"]
    (found,) = [finding for finding in findings if finding["code"] == "lr-too-high"]
    assert (found["severity"], found["where"]) == ("fatal", "generator")
    assert found["changes"][0]["path"] == ["optimizer", "generator", "lr"]
    assert found["changes"][0]["value"] < 0.02


def test_warning_also_warns_through_logging(gancore: Gancore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x.toml").write_text(EXPERIMENT.format(action="warn"))
    assert gancore("train", "x.toml", "--out", "run")[0] == 0
    said = [record.message for record in caplog.records if record.name == "gancore.health"]
    assert any("lr-too-high in generator" in message for message in said)
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_stopping_ends_at_the_first_fatal_finding_with_a_checkpoint(gancore: Gancore, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(EXPERIMENT.format(action="stop"))
    code, out, err = gancore("train", "x.toml", "--out", "run")
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert "lr-too-high in generator" in last
    assert "Set the generator's learning rate to " in last
    step = int(last.split(":")[0].removeprefix("step "))
    assert checkpoint.folders(tmp_path / "run")[-1].name == f"step-{math.ceil(step / 20) * 20:08d}", (
        "when it was judged"
    )
    assert step < 300


def test_what_was_judged_before_it_was_saved_ends_the_run_too(gancore: Gancore, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(EXPERIMENT.format(action="stop").replace("every = 25", "every = 10"))
    code, _, err = gancore("train", "x.toml", "--out", "run")
    assert code == 1
    step = int(err.splitlines()[-1].split(":")[0].removeprefix("step "))
    assert checkpoint.folders(tmp_path / "run")[-1].name == f"step-{step:08d}"


@pytest.mark.parametrize("stops", [False, True])
def test_a_finding_that_nobody_has_looked_at_yet_is_not_lost_with_the_end(stops: bool, tmp_path: Path) -> None:
    """Of a run that somebody stops, or saves, between two looks."""

    class Ill:
        patience = 1

        def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterator[Finding]:
            if vitals.step == 30:
                yield Finding("ill", "fatal", "game", {}, "always", "It is.", "Train on.", ())

    class Watching:
        every = 5

        def stepped(self, run: Run) -> None:
            if run.step == 35:
                run.stop() if stops else run.save_soon()  # type: ignore[attr-defined]

    (tmp_path / "x.toml").write_text(EXPERIMENT.format(action="stop"))
    settings = ["callback=[]", "checkpoint.every=1000", "health.every=10"]
    run = package.load(tmp_path / "x.toml", settings).assemble(out=tmp_path / "run")
    assert run.checkup is not None
    run.checkup = attrs.evolve(run.checkup, doctor=Doctor({"ill": Ill()}, run.checkup.doctor.facts, warm_up=0))
    run.observers.callbacks = {**run.callbacks, "watching": Watching()}
    with pytest.raises(UnhealthyError, match="ill"):
        run.train()
    assert run.step == 35
    run.train()  # whoever goes on after it knows


def test_healing_goes_back_applies_one_remedy_and_writes_it_down(gancore: Gancore, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(EXPERIMENT.format(action="heal"))
    code, out, err = gancore("train", "x.toml", "--out", "run")
    assert (code, out) == (0, "run\n"), err
    (entry,) = [json.loads(line) for line in (tmp_path / "run" / "healed.jsonl").read_text().splitlines()]
    assert entry["finding"] == "lr-too-high generator"
    assert entry["back_to"] < entry["found_at"]
    assert "healing, attempt 1 of 3: lr-too-high in generator" in err
    table = tomllib.loads((tmp_path / "run" / "experiment.toml").read_text())
    assert table["optimizer"]["generator"]["lr"] == entry["changes"][0]["value"]
    assert table["train"]["seed"] == 1, "the same random stream would bring the same luck"
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)), "a step stands there twice"
    assert steps[-1] == 300
    assert list((tmp_path / "run" / "checkpoints").glob("sick-*"))
    assert gancore("resume", "run", "--set", "train.steps=310")[0] == 0


def test_healing_ends_after_three_attempts(gancore: Gancore, tmp_path: Path) -> None:
    """A rule whose remedy does not help: its threshold is one that no run keeps."""
    text = EXPERIMENT.format(action="heal").replace("lr = 1e-1", "lr = 1e-3")
    (tmp_path / "x.toml").write_text(text + "[health.lr-too-high]\nwarn = 1e-9\nfatal = 2e-9\n")
    code, _, err = gancore("train", "x.toml", "--out", "run")
    assert code == 1
    attempts = [json.loads(line) for line in (tmp_path / "run" / "healed.jsonl").read_text().splitlines()]
    assert [entry["attempt"] for entry in attempts] == [1, 2, 3]
    assert "lr-too-high" in err.splitlines()[-1]


def test_what_became_nan_is_healed_too(gancore: Gancore, tmp_path: Path) -> None:
    text = EXPERIMENT.format(action="heal").replace("lr = 1e-1", "lr = 1e30")
    (tmp_path / "x.toml").write_text(text)
    code, _, err = gancore("train", "x.toml", "--out", "run")
    assert code == 0, err
    (entry, *_) = [json.loads(line) for line in (tmp_path / "run" / "healed.jsonl").read_text().splitlines()]
    assert entry["finding"].startswith("nonfinite output of generator")
    assert entry["back_to"] == 0


def test_without_a_remedy_the_run_ends_as_it_would(gancore: Gancore, tmp_path: Path) -> None:
    text = EXPERIMENT.format(action="heal").replace("lr = 1e-1", "lr = 1e-3")
    text = text.replace("[health]", '[health]\nignore = ["lr-too-high"]')
    (tmp_path / "x.toml").write_text(text)
    assert gancore("train", "x.toml", "--out", "run")[0] == 0
    assert not (tmp_path / "run" / "healed.jsonl").exists()


def finding(code: str, severity: str, because: str = "", change: Change | None = None) -> Finding:
    return Finding(
        code=code, severity=severity, where="here", evidence={}, threshold="", cause="", remedy="", step=200,
        because=because, changes=(change,) if change else (),
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def unhealthy(tmp_path: Path) -> Experiment:
    """A run of 100 steps with checkpoints, to be healed."""
    file = tmp_path / "x.toml"
    file.write_text(EXPERIMENT.format(action="heal"))
    loaded = package.load(file, ["train.steps=100", "optimizer.generator.lr=1e-3"])
    loaded.assemble(out=tmp_path / "run").train()
    return loaded.experiment


def test_the_remedy_is_that_of_the_root_also_if_the_root_is_a_mere_warning(
    unhealthy: Experiment, tmp_path: Path
) -> None:
    root = finding("lr-too-high", "warn", change=Change(("optimizer", "generator", "lr"), 1e-4))
    leaf = finding("mode-collapse", "fatal", "lr-too-high here", Change(("regularizer", "r1", "gamma"), 1.0))
    healed = heal(unhealthy, tmp_path / "run", [leaf], [leaf, root])
    assert healed is not None
    assert healed[0].optimizer_generator.options["lr"] == 1e-4
    assert audit(tmp_path / "run")[0]["finding"] == "lr-too-high here"
    passed = finding("mode-collapse", "fatal", "lr-too-high here", Change(("regularizer", "r1", "gamma"), 1.0))
    again = heal(unhealthy, tmp_path / "run", [passed], [passed])
    assert again is not None, "its root has passed: what is left to mend is itself"


def test_a_run_that_was_killed_right_after_healing_goes_on_as_healed(
    unhealthy: Experiment, tmp_path: Path, gancore: Gancore
) -> None:
    remedy = Change(("regularizer", "r2"), {"name": "r2", "gamma": 0.1})
    assert heal(unhealthy, tmp_path / "run", [finding("critic-steep", "fatal", change=remedy)]) is not None
    code, out, err = gancore("resume", "run", "--set", "train.steps=110")
    assert (code, out) == (0, "run\n"), err
    assert 'name = "gancore-penalties/r2"' in (tmp_path / "run" / "experiment.toml").read_text()


def test_attempts_that_cannot_be_read_count_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "healed.jsonl").write_bytes(b'{"attempt": 1}\n\xff\xfe not json\n[1]\n')
    assert audit(tmp_path) == [{"attempt": 1}, {}, {}]
