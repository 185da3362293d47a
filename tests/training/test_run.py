"""The loop: which moments come when, stopping, and what is not finite."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import define, field

from gancore.errors import NonFiniteError


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
    run.callbacks = {"diary": Diary()}
    return run


def test_callbacks_are_told_at_their_steps_and_at_no_other(run: Any) -> None:
    assert run.train() == "finished"
    assert run.callbacks["diary"].entries == [
        ("started", 0), ("logged", 3), ("stepped", 4), ("logged", 6), ("stepped", 8), ("logged", 9),
        ("logged", 12), ("stepped", 12), ("finished", 12),
    ]  # fmt: skip


def test_the_last_steps_are_logged_also_off_the_rhythm(assemble: Any, experiments: dict[str, str]) -> None:
    run = assemble(experiments["mlp_adam"], "train.steps=5")
    run.callbacks = {"diary": Diary(every=100)}
    run.train()
    assert run.callbacks["diary"].entries == [("started", 0), ("logged", 3), ("logged", 5), ("finished", 5)]


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

    run.callbacks = {"diary": Stops()}
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
    run.callbacks = {"diary": diary}
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
