"""What became NaN first: found, kept in a capsule, and seen again on replay."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import gancore
from gancore import checkpoint
from gancore.assemble.replay import open_capsule
from gancore.cli import main
from gancore.errors import NonFiniteError, RunFolderError
from gancore.observe.health import read_findings
from gancore.training.recorder import take_step

EXPERIMENT = """
callback = [{name = "health"}]
[train]
steps = 100
batch_size = 32
device = "cpu"
[log]
every = 20
[data]
name = "ring"
[model]
name = "mlp"
latent_dim = 4
hidden = [32, 32]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
lr = 1e-3
"""

Assembled = Callable[..., Any]


@pytest.fixture
def assembled(tmp_path: Path) -> Assembled:
    def assemble(text: str = EXPERIMENT, *settings: str, **objects: Any) -> Any:
        file = tmp_path / "x.toml"
        file.write_text(text)
        return gancore.load(file, settings).assemble(out=tmp_path / "run", **objects)

    return assemble


def fails(run: Any) -> tuple[str, Path]:
    """The message, and the capsule."""
    with pytest.raises(NonFiniteError) as caught:
        run.train()
    (capsule,) = (run.folder / "capsules").iterdir()
    return str(caught.value), capsule


def replayed(capsule: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("sys.argv", ["gancore", "replay", str(capsule)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out.splitlines()


def check(
    run: Any, where: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, step: int | None = None
) -> str:
    """The message, the finding on disk and the replay name the same step and place."""
    message, capsule = fails(run)
    assert f"the {where}" in message, message
    assert f"gancore replay {capsule}" in message
    recorded, again, remedy = replayed(capsule, capsys, monkeypatch)
    assert recorded.removeprefix("recorded: ") == again.removeprefix("replayed: ")
    assert where in again
    assert remedy
    if step is not None:
        assert again.startswith(f"replayed: step {step}: ")
    (finding,) = [finding for finding in read_findings(run.folder) if finding["code"] == "nonfinite"]
    assert (finding["severity"], finding["where"]) == ("fatal", where)
    assert not (run.folder / "checkpoints").exists(), "a sick state was saved"
    return message


def test_nan_in_the_data(
    assembled: Assembled, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(200, 2)
    x[77, 0] = torch.nan
    text = EXPERIMENT.replace('[data]\nname = "ring"\n', "")
    run = assembled(text, data=TensorDataset(x), spec=gancore.DataSpec((2,), 0, None))
    message = check(run, "batch of reals", capsys, monkeypatch)
    assert "(1 NaN of 64)" in message
    assert "Look at the data" in message


def test_what_was_measured_before_it_is_not_lost(assembled: Assembled) -> None:
    """Though it would have been looked at later."""
    run = assembled(EXPERIMENT.replace("every = 20", "every = 10"), "health.every=10")

    def poisoned(now: Any) -> None:
        if now.step == 35:
            with torch.no_grad():
                now.game.generator.parameters[0].fill_(torch.nan)

    run.observers.callbacks = {**run.callbacks, "poison": SimpleNamespace(every=5, stepped=poisoned)}
    with pytest.raises(NonFiniteError):
        run.train()
    lines = [json.loads(line)["step"] for line in (run.folder / "health.jsonl").read_text().splitlines()]
    assert lines[:3] == [10, 20, 30]
    (capsule,) = (run.folder / "capsules").iterdir()
    assert [vitals["step"] for vitals in checkpoint.load(capsule)["vitals"]] == [20, 30, 40]


def test_nan_in_a_weight(
    assembled: Assembled, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put there between two steps that the log looks at; found although the same steps go well without it."""

    class Vandal:
        every = 30

        @torch.no_grad()
        def stepped(self, run: Any) -> None:
            if run.step == 30:
                run.game.generator.network.layers[2].weight[3, 4] = torch.nan

    run = assembled()
    run.observers.callbacks = {**run.callbacks, "vandal": Vandal()}
    message = check(run, "generator layers.2.weight", capsys, monkeypatch, step=31)
    assert "before the step (1 NaN of 1024)" in message


def test_a_learning_rate_of_a_million(
    assembled: Assembled, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thing is the norm whose squares overflow; with a million times a million it is G's own output."""
    run = assembled(EXPERIMENT, "optimizer.lr=1e6")
    message = check(run, "norm of the generator's gradient", capsys, monkeypatch, step=2)
    assert "learning rate to 0.001" in message


def test_a_generator_that_overflows(
    assembled: Assembled, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = assembled(EXPERIMENT + "\n[optimizer.generator]\nlr = 1e30\n")
    message = check(run, "output of generator layers.2", capsys, monkeypatch, step=2)
    assert "Set the generator's learning rate to 0.001" in message


def test_a_penalty_without_an_epsilon(assembled: Assembled, install: Any) -> None:
    """The root has no slope at 0: where D is flat, its gradient is 0 / 0. A plugin, so that it can be replayed."""
    install(
        "no-epsilon",
        no_epsilon=(
            "from gancore import Component, hookimpl\n\n@hookimpl\ndef gancore_regularizers():\n"
            '    return [Component("no-epsilon", "no_epsilon_penalty:NoEpsilon", "Divides by zero.")]\n'
        ),
        entry_points={"no-epsilon": "no_epsilon"},
        no_epsilon_penalty=(
            "import torch\nfrom typing import Literal\nfrom gancore import component, ge, option\n\n\n@component\n"
            "class NoEpsilon:\n"
            '    on: Literal["discriminator"] = option("discriminator", "For D.")\n'
            '    every: int = option(1, "Rhythm.", ge(1))\n\n'
            "    def penalty(self, phase, context):\n"
            "        x = phase.real.detach().requires_grad_()\n"
            "        score = phase.discriminator(x) * (context.step < 5)\n"
            "        (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)\n"
            "        return gradient.square().sum(1).sqrt().mean()\n"
        ),
    )
    run = assembled(EXPERIMENT + '[[regularizer]]\nname = "no-epsilon"\n')
    message, capsule = fails(run)
    assert "First, in step 6: the gradient of penalty no-epsilon, in the discriminator's phase" in message
    assert "Add a small number inside the root" in message
    again, kept = open_capsule(capsule)
    with kept.tape.playing(again):
        assert take_step(again) == kept.sighting


def test_without_the_recorder_the_error_is_as_plain_as_before(assembled: Assembled) -> None:
    run = assembled(EXPERIMENT, "optimizer.lr=1e6", "health.recorder=false")
    with pytest.raises(NonFiniteError, match=r"loss/discriminator is nan") as caught:
        run.train()
    assert "First" not in str(caught.value)
    assert not (run.folder / "capsules").exists()


def test_a_healthy_capsule_says_so(assembled: Assembled, tmp_path: Path) -> None:
    """A step that goes well here: another machine, or a mended plugin."""
    run = assembled(EXPERIMENT, "optimizer.lr=1e6")
    _, capsule = fails(run)
    again, kept = open_capsule(capsule)
    again.load_state_dict(assembled().state_dict())
    with kept.tape.playing(again):
        assert take_step(again) is None


def test_what_is_no_capsule_is_refused(assembled: Assembled, tmp_path: Path) -> None:
    run = assembled()
    run.advance(1)
    with pytest.raises(RunFolderError, match="is no capsule"):
        open_capsule(run.save())
    with pytest.raises(RunFolderError, match="is damaged"):
        open_capsule(tmp_path)


def test_a_capsule_that_cannot_be_written_does_not_hide_what_went_wrong(assembled: Assembled) -> None:
    run = assembled(EXPERIMENT, "optimizer.lr=1e6", "train.steps=40")
    (run.folder / "capsules").write_text("in the way")
    with pytest.raises(NonFiniteError) as caught:
        run.train()
    assert "First, in step " in str(caught.value)
    assert "There is no capsule of it: " in str(caught.value)
    assert caught.value.findings, "healing looks at these"


def test_networks_that_were_handed_in_are_not_promised_to_be_replayed(assembled: Assembled) -> None:
    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
            score: torch.Tensor = self.layer(x).squeeze(1)
            return score / 0.0 * 0.0

    message, capsule = fails(assembled(EXPERIMENT, discriminator=Scores()))
    assert f"The step is kept in {capsule}" in message
    assert "gancore replay" not in message
    with pytest.raises(
        RunFolderError, match=r"missing table \[discriminator\].*were its networks handed in by a script"
    ):
        open_capsule(capsule)
