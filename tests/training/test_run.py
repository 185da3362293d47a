"""The loop: which moments come when, stopping, and what is not finite."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import define, field

from gancore import Context, checkpoint
from gancore.errors import NonFiniteError, RunFolderError
from gancore.training.player import Regularizer


@define(eq=False)
class Diary:
    """A callback with every moment."""

    every: int = 4
    entries: list[tuple[str, int]] = field(factory=list)
    numbers: list[Mapping[str, float]] = field(factory=list)

    def train_started(self, run: Any) -> None:
        self.entries.append(("started", run.step))

    def logged(self, run: Any, numbers: Mapping[str, float]) -> None:
        self.entries.append(("logged", run.step))
        self.numbers.append(numbers)

    def stepped(self, run: Any) -> None:
        self.entries.append(("stepped", run.step))

    def train_ended(self, run: Any, ending: str) -> None:
        self.entries.append((ending, run.step))


@pytest.fixture
def run(assemble: Any, experiments: dict[str, str]) -> Any:
    """12 steps, a log every 3, no callbacks but a diary."""
    run = assemble(experiments["mlp_adam"])
    run.observers.callbacks = {"diary": Diary()}
    return run


def test_callbacks_are_told_at_their_steps_and_at_no_other(run: Any) -> None:
    assert run.train() == "finished"
    assert run.callbacks["diary"].entries == [
        ("started", 0), ("logged", 3), ("stepped", 4), ("logged", 6), ("stepped", 8), ("logged", 9),
        ("logged", 12), ("stepped", 12), ("finished", 12),
    ]  # fmt: skip


def test_the_last_steps_are_told_also_off_the_rhythm(assemble: Any, experiments: dict[str, str]) -> None:
    run = assemble(experiments["mlp_adam"], "train.steps=5")
    run.observers.callbacks = {"diary": Diary(every=100)}
    run.train()
    assert run.callbacks["diary"].entries == [
        ("started", 0), ("logged", 3), ("logged", 5), ("stepped", 5), ("finished", 5),
    ]  # fmt: skip


def test_the_log_has_losses_scores_gradient_norms_and_learning_rates(run: Any) -> None:
    run.train()
    assert set(run.callbacks["diary"].numbers[0]) == {
        "loss/discriminator", "loss/generator", "score/real", "score/fake",
        "gradient/discriminator", "gradient/generator", "lr/discriminator", "lr/generator",
    }  # fmt: skip


def test_the_gradient_norm_of_the_log_is_the_raw_one_of_the_last_step(
    assemble: Any, experiments: dict[str, str]
) -> None:
    """Measured before clipping; the clipped gradient has the norm that was asked for."""
    text = experiments["mlp_adam"] + '[[regularizer]]\nname = "gradient-clipping"\nby = "norm"\nlimit = 0.001\n'
    run = assemble(text)
    run.advance(3)
    numbers = run.look()
    clipped = torch.nn.utils.get_total_norm([p.grad for p in run.game.generator.parameters])
    assert float(clipped) == pytest.approx(0.001, rel=1e-3)
    assert numbers["gradient/generator"] > 0.01
    assert numbers["gradient-clipping/generator/clipped"] == 1.0


def test_stop_finishes_the_step_and_ends(run: Any) -> None:
    class Stops(Diary):
        def logged(self, run: Any, numbers: Mapping[str, float]) -> None:
            super().logged(run, numbers)
            if run.step == 6:
                run.stop()

    run.observers.callbacks = {"diary": Stops()}
    assert run.train() == "interrupted"
    assert run.callbacks["diary"].entries[-1] == ("interrupted", 6)


def test_a_loss_that_is_not_finite_ends_the_run_and_says_which_and_where(run: Any) -> None:
    run.advance(3)
    run.look()
    with torch.no_grad():
        run.game.generator.parameters[0].fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"step 6: .*loss/generator is nan"):
        run.train()
    assert run.callbacks["diary"].entries[-1] == ("failed", 6)


def test_weights_that_are_not_finite_are_not_saved(assemble: Any, experiments: dict[str, str], tmp_path: Path) -> None:
    run = assemble(experiments["mlp_adam"], out=tmp_path / "run")
    with torch.no_grad():
        run.game.discriminator.parameters[0][0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"step 0: discriminator parameter .*weight is not finite; not saved"):
        run.save()
    assert not (tmp_path / "run").exists()


def test_advancing_leaves_no_trace_on_disk(
    assemble: Any, experiments: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assemble(experiments["mlp_adam"]).advance(3)
    assert [path.name for path in tmp_path.iterdir()] == ["experiment.toml"]


def test_samples_do_not_depend_on_the_batch_they_are_made_in(run: Any) -> None:
    z, y = run.latents(40, seed=3)
    whole = run.sample(z, y)
    assert whole.shape == (40, 1, 8, 8)
    torch.testing.assert_close(torch.cat([run.sample(z[:7], y[:7]), run.sample(z[7:], y[7:])]), whole)


def test_metrics_are_logged_at_their_own_rhythm(assemble: Any, probes: Any) -> None:
    text = """
[train]
steps = 6
batch_size = 8
device = "cpu"
[log]
every = 4
[data]
name = "ring"
[model]
name = "mlp"
latent_dim = 2
hidden = [8]
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
[[metric]]
name = "mode-coverage"
every = 3
samples = 50
"""
    run = assemble(text)
    diary = Diary(every=100)
    run.observers.callbacks = {"diary": diary}
    run.train()
    assert [step for kind, step in diary.entries if kind == "logged"] == [3, 4, 6]
    assert set(diary.numbers[0]) == {f"metric/mode-coverage/{name}" for name in ("modes", "high-quality", "kl")}


def test_dcgan_trains_in_bfloat16(assemble: Any, experiments: dict[str, str]) -> None:
    run = assemble(experiments["dcgan_lazy"], 'train.precision="bf16"')
    run.advance(4)
    assert all(torch.isfinite(p).all() and p.dtype == torch.float32 for p in run.game.generator.parameters)
    assert run.sample(*run.latents(2, 0)).dtype == torch.float32


def test_labels_reach_both_networks(assemble: Any, experiments: dict[str, str]) -> None:
    run = assemble(experiments["mlp_adam"].replace("hidden = [16]", "hidden = [16]\nconditional = true"))
    run.advance(2)
    z, _ = run.latents(10, 0)
    ones, twos = (run.sample(z, torch.full((10,), label)) for label in (1, 2))
    assert not torch.equal(ones, twos)


def test_a_callback_that_fails_between_steps_costs_no_step(
    assemble: Any, experiments: dict[str, str], tmp_path: Path
) -> None:
    """The state after step 4 is whole, so the last word is a checkpoint of it."""

    class Fails(Diary):
        def stepped(self, run: Any) -> None:
            raise RuntimeError("disk on fire")

    run = assemble(experiments["mlp_adam"], "train.strict=true", out=tmp_path / "run")
    run.observers.callbacks = {"fails": Fails(), "checkpoint": run.callbacks["checkpoint"]}
    with pytest.raises(RuntimeError, match="disk on fire"):
        run.train()
    assert [folder.name for folder in checkpoint.folders(tmp_path / "run")] == ["step-00000004"]


def test_a_step_that_fails_half_way_is_not_saved(assemble: Any, experiments: dict[str, str], tmp_path: Path) -> None:
    class Fails:
        on = "generator"
        every = 1

        def penalty(self, phase: Any, context: Any) -> Any:
            raise RuntimeError("no penalty today")

    run = assemble(experiments["mlp_adam"], out=tmp_path / "run")
    run.observers.callbacks = {"checkpoint": run.callbacks["checkpoint"]}
    run.advance(3)
    player = run.game.generator
    run.game.generator.regularizers = (Regularizer("fails", Fails(), Context(torch.Generator(), run.clock, 12)),)
    del player.__dict__["_moments"]  # asked once and remembered
    with pytest.raises(RuntimeError, match="no penalty today"):
        run.train()
    assert not run.intact
    assert checkpoint.folders(tmp_path / "run") == []


@pytest.mark.parametrize("moment", ["train_started", "logged", "stepped", "noticed", "train_ended"])
def test_a_callback_that_fails_is_switched_off_and_the_run_goes_on(run: Any, moment: str) -> None:
    class Listens(Diary):
        def noticed(self, run: Any, notice: str) -> None:
            self.entries.append((notice, run.step))

    class Fails(Listens):
        calls = 0

    def fail(self: Any, *_: Any) -> None:
        self.calls += 1
        raise ValueError("no ink")

    setattr(Fails, moment, fail)
    run.observers.callbacks = {"fails": Fails(), "listens": Listens()}
    run.notice("hello")
    assert run.train() == "finished"
    assert run.callbacks["fails"].calls == 1, "it was asked again"
    notices = [text for text, _ in run.callbacks["listens"].entries if " " in text]
    assert len(notices) == 1, notices
    assert "callback 'fails' failed and is switched off: ValueError: no ink" in notices[0]
    assert "test_run.py:" in notices[0]
    if moment != "train_ended":
        assert run.callbacks["fails"].entries[-1] == ("finished", 12), "it still hears the end"


def test_a_notice_that_no_callback_shows_is_logged(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    run.notice("the critic is flat")
    assert caplog.messages == ["the critic is flat"]


def test_an_error_of_ours_ends_the_run_also_from_a_callback(run: Any) -> None:
    class Full(Diary):
        def stepped(self, run: Any) -> None:
            raise RunFolderError("the disk is full")

    run.observers.callbacks = {"full": Full()}
    with pytest.raises(RunFolderError, match="the disk is full"):
        run.train()


def test_every_callback_hears_the_end_also_if_one_raises(run: Any) -> None:
    run.observers.strict = True

    class Fails(Diary):
        def train_ended(self, run: Any, ending: str) -> None:
            raise RuntimeError("no farewell")

    run.observers.callbacks = {"first": Diary(), "fails": Fails(), "last": Diary()}
    with pytest.raises(RuntimeError, match="no farewell"):
        run.train()
    assert [run.callbacks[name].entries[-1] for name in ("first", "last")] == [("finished", 12)] * 2


def test_a_run_that_was_stopped_goes_on_when_asked_again(run: Any) -> None:
    class Stops(Diary):
        def stepped(self, run: Any) -> None:
            run.stop()

    run.observers.callbacks = {"stops": Stops()}
    assert [run.train(), run.step, run.train(), run.step, run.train(), run.step] == [
        "interrupted", 4, "interrupted", 8, "finished", 12,
    ]  # fmt: skip


def test_a_lazy_penaltys_gradient_has_a_curve_of_its_own(assemble: Any, experiments: dict[str, str]) -> None:
    """R1 every 4th phase falls on steps 1, 5 and 9; the measured steps are 3, 6 and 9."""
    run = assemble(experiments["dcgan_lazy"], "log.every=3")
    found = []
    for _ in range(3):
        run.advance(3)
        found.append({name for name in run.look() if name.startswith("gradient/discriminator")})
    plain, lazy = "gradient/discriminator", "gradient/discriminator/lazy"
    assert found == [{plain, lazy}, {plain, lazy}, {lazy}]


def test_streams_of_another_device_start_afresh_and_say_so(assemble: Any, experiments: dict[str, str]) -> None:
    """A CUDA generator's state has 16 bytes, a CPU one's some thousands."""
    run = assemble(experiments["mlp_adam"])
    run.advance(2)
    state = run.state_dict()
    state["streams"]["latents"] = torch.zeros(16, dtype=torch.uint8)
    resumed, again = (assemble(experiments["mlp_adam"]) for _ in range(2))
    (note,) = resumed.load_state_dict(copy.deepcopy(state))
    assert note == (
        "random stream 'latents' is from another kind of device; it starts afresh, so this run is not bit-exact"
    )
    again.load_state_dict(copy.deepcopy(state))
    for other in (resumed, again):
        other.advance(2)
    weights = zip(resumed.game.generator.parameters, again.game.generator.parameters, strict=True)
    assert all(torch.equal(a, b) for a, b in weights), "afresh, but the same every time"


def test_a_longer_run_follows_its_own_plan_from_the_first_resumed_step(
    assemble: Any, experiments: dict[str, str]
) -> None:
    """Linear decay over 4 steps ends at 0; made 8 steps long, half of the way is left."""
    text = experiments["mlp_adam"].replace("lr = 1e-3", 'lr = 1e-3\nlr_schedule = "linear"')
    short = assemble(text, "train.steps=4")
    short.advance(4)
    assert short.look()["lr/generator"] == 0.0
    longer = assemble(text, "train.steps=8")
    longer.load_state_dict(short.state_dict())
    assert longer.look()["lr/generator"] == pytest.approx(0.5e-3)


def test_a_state_of_another_experiment_is_refused_in_a_sentence(assemble: Any, experiments: dict[str, str]) -> None:
    state = assemble(experiments["dcgan_lazy"]).state_dict()
    with pytest.raises(RunFolderError, match="the state does not fit this experiment"):
        assemble(experiments["mlp_adam"]).load_state_dict(state)
