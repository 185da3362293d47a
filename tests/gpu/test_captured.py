"""Phases as CUDA graphs: they change what the phases themselves do, to the bit. Skipped where there is no GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import gancore
from gancore.training import captured as module

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["digits", "digits-conditional", "digits-relativistic", "ring"]

MLP = 'name = "mlp"\nlatent_dim = 6\nhidden = [16, 16]'
DCGAN = 'name = "dcgan"\nlatent_dim = 6\nwidth = 8'
ADAM = 'name = "adam"'
PLAIN = 'name = "nonsaturating"'
# Model, loss, optimizer, regularizers.
GAMES = {
    **{f"{loss}, {model[8:11]}": (model, f'name = "{loss}"', ADAM)
       for loss in ("hinge", "lsgan", "minimax", "nonsaturating", "relativistic", "wasserstein", "wgan-gp")
       for model in (MLP, DCGAN)},
    **{name: (MLP, PLAIN, f'name = "{name}"') for name in ("adamw", "rmsprop", "sgd", "subgradient")},
    "nesterov": (MLP, PLAIN, 'name = "sgd"\nmomentum = 0.9\nnesterov = true'),
    "a schedule": (MLP, PLAIN, 'name = "adam"\nlr_schedule = "cosine"\nwarmup = 5'),
    **{name: (MLP, PLAIN, ADAM, f'name = "{name}"')
       for name in ("instance-noise", "dragan", "r1", "r2", "spectral-norm")},
    "diffaugment": (DCGAN, PLAIN, ADAM, 'name = "diffaugment"'),
    "spectral norm of convolutions": (DCGAN, 'name = "hinge"', ADAM, 'name = "spectral-norm"'),
    "lazy r1, r2": (MLP, PLAIN, ADAM, 'name = "r1"\nevery = 4', 'name = "r2"\nevery = 2'),
    **{f"clipping by {how}": (MLP, PLAIN, ADAM, f'name = "gradient-clipping"\nby = "{how}"')
       for how in ("norm", "value", "adaptive")},
    "autoclip": (MLP, PLAIN, ADAM, 'name = "autoclip"'),
    "weight clipping": (MLP, 'name = "wasserstein"', 'name = "rmsprop"', 'name = "weight-clipping"'),
    "labels": (f"{DCGAN}\nconditional = true", PLAIN, ADAM),
}  # fmt: skip


def assembled(name: str, *overrides: str) -> Any:
    return gancore.load(EXAMPLES / f"{name}.toml", ["train.device=cuda", *overrides]).assemble()


def played(folder: Path, game: str, *settings: str) -> Any:
    model, loss, optimizer, *regularizers = GAMES[game]
    file = folder / "x.toml"
    file.write_text(
        f'callback = []\n[train]\nsteps = 100\nbatch_size = 8\ndevice = "cuda"\n[model]\n{model}\n[loss]\n{loss}\n'
        f"[optimizer]\n{optimizer}\n" + "".join(f"[[regularizer]]\n{each}\n" for each in regularizers)
    )
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8, generator=rng)
    return gancore.load(file, settings).assemble(data=TensorDataset(images, torch.arange(64) % 3))


def weights(run: Any) -> dict[str, torch.Tensor]:
    return {
        f"{player.role}: {name}": value.detach().clone()
        for player in (run.game.generator, run.game.discriminator)
        for name, value in player.network.state_dict().items()
    }


def kernel_by_kernel(run: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The phases that would be captured, on the same stream, launched as if each were one of the first."""
    with monkeypatch.context() as patched:
        patched.setattr(module, "WARM_UP", 10**9)
        run.advance(steps)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("game", GAMES)
def test_a_graph_changes_to_the_bit_what_its_phase_does(
    game: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = "train.capture=on", f"train.precision={precision}", "health.probe=false", "log.every=4"
    launched, replayed = (played(tmp_path, game, *settings) for _ in range(2))
    said = told(replayed)
    kernel_by_kernel(launched, 14, monkeypatch)
    replayed.advance(14)
    assert not said
    ours, theirs = weights(replayed), weights(launched)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
    assert replayed.look() == launched.look()


def told(run: Any) -> list[str]:
    said: list[str] = []
    run.game.take.heard_by(said.append)
    run.game.differentiate.heard_by(said.append)
    return said


@pytest.mark.parametrize("probed", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_captured_phases_do_what_plain_ones_do(name: str, precision: str, probed: bool) -> None:
    settings = [f"train.precision={precision}", "health.every=1" if probed else "health.probe=false", "log.every=3"]
    plain, captured = (assembled(name, f"train.capture={how}", *settings) for how in ("off", "on"))
    said = told(captured)
    plain.advance(20)
    captured.advance(20)
    assert not said
    for role in ("generator", "discriminator"):
        pairs = zip(plain.game.player(role).parameters, captured.game.player(role).parameters, strict=True)
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert captured.look() == pytest.approx(plain.look(), rel=1e-2, abs=1e-3)
    if probed:
        ours, theirs = (run.checkup.probe.fetched()[-1].numbers for run in (captured, plain))
        assert ours == pytest.approx(theirs, rel=5e-2, abs=1e-3)


def test_captured_phases_weigh_penalties_as_plain_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for rhythm in ("RARELY", "WEIGHED"):
        monkeypatch.setattr(f"gancore.training.checkup.{rhythm}", 3)
    plain, captured = (assembled("digits", f"train.capture={how}", "health.every=1") for how in ("off", "on"))
    said = told(captured)
    for run in (plain, captured):
        run.advance(20)
    assert not said
    ours, theirs = (run.checkup.probe.fetched()[-1].numbers for run in (captured, plain))
    assert theirs["penalty/discriminator"] > 0
    assert ours == pytest.approx(theirs, rel=5e-2, abs=1e-3)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # that it does not see everything
def test_a_captured_step_waits_for_nothing() -> None:
    run = assembled("digits", "train.capture=on", "health.probe=false", "log.every=1000")
    run.advance(5)  # warmed up and captured
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.advance(5)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_schedule_reaches_into_the_graph() -> None:
    """The learning rate of digits falls linearly to 0: a frozen one would go on training."""
    run = assembled("digits", "train.capture=on", "train.steps=30", "health.probe=false")
    run.advance(29)
    before = [parameter.detach().clone() for parameter in run.game.generator.parameters]
    run.game.generator.optimizer.param_groups[0]["lr"] = 0.0
    run.advance(1)
    assert all(torch.equal(a, b) for a, b in zip(before, run.game.generator.parameters, strict=True))


@pytest.mark.parametrize("capture", ["on", "off"])
@pytest.mark.parametrize("name", ["digits", "digits-relativistic"])
def test_compiled_phases_do_what_eager_ones_do(name: str, capture: str) -> None:
    settings = ["health.probe=false", f"train.capture={capture}"]
    eager, compiled = (assembled(name, f"train.compile={how}", *settings) for how in ("off", "phase"))
    said = told(compiled)
    eager.advance(6)
    compiled.advance(6)
    assert not [words for words in said if "not compiled" in words or "not captured" in words]
    pairs = zip(eager.game.generator.parameters, compiled.game.generator.parameters, strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-2, atol=5e-3)
    assert compiled.look() == pytest.approx(eager.look(), rel=0.1, abs=0.05)  # under the same names
