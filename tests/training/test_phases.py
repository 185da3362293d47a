"""The rules of a phase (DESIGN's engine rules): who learns, what is drawn, in which order regularizers act."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import TensorDataset

from gancore import Context, load
from gancore.registry import Registry
from gancore.training.player import Regularizer

VECTORS = """
[train]
steps = 8
batch_size = 4
device = "cpu"
[data]
name = "ring"
[loss]
name = "wasserstein"
[optimizer]
name = "sgd"
lr = 0.1
"""


def tiny(assemble: Any, probes: Any, text: str = VECTORS, *overrides: str, witness: Any = None, on: str = "") -> Any:
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(12, 2))
    run = assemble(text, *overrides, generator=probes.TinyG(), discriminator=probes.TinyD(), data=data)
    for role in ("generator", "discriminator"):
        if on in (role, "both"):
            player = getattr(run.game, role)
            context = Context(torch.Generator(), run.clock, run.steps)
            player.regularizers += (Regularizer("witness", witness, context),)
    return run


def test_ds_phase_runs_g_without_gradients_and_trains_only_d(assemble: Any, probes: Any) -> None:
    run = tiny(assemble, probes)
    G, D = run.game.generator.network, run.game.discriminator.network
    before = [network.layer.weight.clone() for network in (G, D)]
    from gancore.training.phases import discriminator_phase

    discriminator_phase(run.game, 0, run.numbers, measure=False)
    assert G.batches[0][1] is False
    assert G.layer.weight.grad is None
    assert torch.equal(G.layer.weight, before[0])
    assert not torch.equal(D.layer.weight, before[1])


def test_gs_phase_computes_no_gradient_for_ds_parameters(assemble: Any, probes: Any) -> None:
    run = tiny(assemble, probes)
    D = run.game.discriminator.network
    from gancore.training.phases import generator_phase

    generator_phase(run.game, 0, run.numbers, measure=False)
    assert [requires_grad for _, requires_grad in D.batches] == [False]
    assert D.layer.weight.grad is None
    assert D.layer.weight.requires_grad, "given back afterwards"


def test_every_phase_draws_its_own_latents(assemble: Any, probes: Any) -> None:
    run = tiny(assemble, probes, VECTORS, "train.n_critic=2")
    run.advance(2)
    latents = [z for z, _ in run.game.generator.network.batches]
    assert len(latents) == 6
    assert len({tuple(z.flatten().tolist()) for z in latents}) == 6


def test_one_wasserstein_update_equals_the_formula(assemble: Any, probes: Any) -> None:
    """W <- W + lr (mean x - mean G(z)), by hand."""
    run = tiny(assemble, probes)
    G, D = run.game.generator.network, run.game.discriminator.network
    before = D.layer.weight.clone()
    run.advance(1)
    fakes, reals = D.batches[1][0], D.batches[0][0]
    torch.testing.assert_close(D.layer.weight - before, 0.1 * (reals.mean(0) - fakes.mean(0))[None])
    assert len(G.batches) == 2


@pytest.mark.parametrize(("loss", "batches"), [("wasserstein", 3), ("relativistic", 4)])
def test_gs_phase_gets_reals_only_where_the_loss_needs_them(
    loss: str, batches: int, assemble: Any, probes: Any
) -> None:
    run = tiny(assemble, probes, VECTORS.replace("wasserstein", loss))
    run.advance(1)
    assert len(run.game.discriminator.network.batches) == batches


def test_the_moments_come_in_their_order(assemble: Any, probes: Any) -> None:
    witness = probes.Witness()
    run = tiny(assemble, probes, witness=witness, on="discriminator")
    run.advance(1)
    in_d = ["inputs", "inputs", "penalty", "gradients", "updated"]
    in_g = ["inputs"]  # a regularizer of D shows D's inputs in G's phase as well
    assert witness.calls == in_d + in_g


def test_regularizers_act_in_the_order_of_the_file(assemble: Any, probes: Any) -> None:
    calls: list[str] = []
    run = tiny(assemble, probes)
    context = Context(torch.Generator(), run.clock, run.steps)
    D = run.game.discriminator
    D.regularizers = tuple(
        Regularizer(name, probes.Witness(calls=calls, name=f"{name} "), context) for name in ("first", "second")
    )
    run.advance(1)
    assert calls[:6] == ["first inputs", "second inputs"] * 2 + ["first penalty", "second penalty"]


def test_a_lazy_penalty_runs_every_kth_phase_times_k(assemble: Any, probes: Any) -> None:
    """d/dW of |W|^2 is 2 W; every 3rd phase the gradient has 3 times that on top of the loss's."""
    witness = probes.Witness(every=3)
    run = tiny(assemble, probes, VECTORS.replace("0.1", "1e-30"), witness=witness, on="generator")
    G = run.game.generator.network
    for step in range(7):
        run.advance(1)
        if step % 3 == 0:
            slope = -run.game.discriminator.network.layer.weight.flatten()
            z = G.batches[-1][0]
            expected = slope[:, None] * z.mean(0)[None] + 3 * 2 * G.layer.weight
            torch.testing.assert_close(G.layer.weight.grad, expected)
    assert witness.calls.count("penalty") == 3


def test_ds_penalty_sees_a_fake_without_history_and_gs_one_with(assemble: Any, probes: Any) -> None:
    for role, history in (("discriminator", False), ("generator", True)):
        witness = probes.Witness()
        run = tiny(assemble, probes, witness=witness, on=role)
        run.advance(1)
        (phase,) = witness.phases
        assert phase.role == role
        assert phase.fake.requires_grad is history
        assert (phase.real is None) is history


class NoSync(TorchDispatchMode):
    """Fails when a tensor's value reaches Python, which on a GPU would wait for the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "a host synchronisation"
        return func(*args, **(kwargs or {}))


IMAGES = """
[train]
steps = 8
batch_size = 4
device = "cpu"
[model]
name = "dcgan"
width = 4
latent_dim = 4
discriminator_norm = "none"
[loss]
name = "LOSS"
[optimizer]
name = "sgd"
[health]
every = 1
[data]
name = "blobs"
"""

LOSSES = [offer.name for offer in Registry.discover().of_kind("loss")]
REGULARIZERS = [offer.name for offer in Registry.discover().of_kind("regularizer")]


@pytest.mark.parametrize("loss", LOSSES)
def test_no_loss_waits_for_the_device(loss: str, assemble: Any) -> None:
    run = assemble(IMAGES.replace("LOSS", loss))
    run.advance(1)
    with NoSync():
        run.advance(2)


def test_reals_that_are_held_out_make_nobody_wait(assemble: Any) -> None:
    run = assemble(IMAGES.replace("LOSS", "hinge"), "train.held_out=3")
    run.advance(1)
    with NoSync():
        run.advance(2)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_no_regularizer_waits_for_the_device(regularizer: str, assemble: Any) -> None:
    run = assemble(IMAGES.replace("LOSS", "hinge") + f'[[regularizer]]\nname = "{regularizer}"\n')
    run.advance(1)
    with NoSync():
        run.advance(2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nobody_waits_between_two_looks_at_the_log(precision: str) -> None:
    """Zero synchronisations in a whole interval, with the probe, its slope between reals and fakes, EMA and schedule; a
    look costs one."""
    file = Path(__file__).parents[2] / "examples" / "digits.toml"
    run = load(file, ["train.device=cpu", f"train.precision={precision}", "callback=[]"]).assemble()
    with Syncs() as training:
        run.advance(run.log_every)
    with Syncs() as looking:
        run.look()
    assert (training.count, looking.count) == (0, 1)


class Syncs(TorchDispatchMode):
    """Counts reads of many values at once (`tolist`) and of single ones."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> "Syncs":
        self._tolist = torch.Tensor.tolist

        def tolist(tensor: torch.Tensor) -> Any:
            self.count += 1
            return self._tolist(tensor)

        torch.Tensor.tolist = tolist  # type: ignore[method-assign]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch.Tensor.tolist = self._tolist  # type: ignore[method-assign]
        super().__exit__(*error)


def test_the_guard_notices_a_synchronisation(assemble: Any) -> None:
    class Syncing:
        every = 1
        on = "discriminator"

        def penalty(self, phase: Any, context: Context) -> torch.Tensor:
            return phase.fake_score.sum() * (0.0 if phase.fake_score.mean() > 3 else 1.0)

    run = assemble(IMAGES.replace("LOSS", "hinge"))
    context = Context(torch.Generator(), run.clock, run.steps)
    run.game.discriminator.regularizers += (Regularizer("syncing", Syncing(), context),)
    with NoSync(), pytest.raises(AssertionError, match="synchronisation"):
        run.advance(1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_and_penalties_are_float32_in_every_precision(precision: str, assemble: Any, probes: Any) -> None:
    witness = probes.Witness()
    run = tiny(assemble, probes, VECTORS, f'train.precision="{precision}"', witness=witness, on="discriminator")
    run.advance(1)
    phase = witness.phases[0]
    assert {phase.fake.dtype, phase.real.dtype, phase.fake_score.dtype, phase.real_score.dtype} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


def test_a_parameter_the_author_froze_stays_frozen(assemble: Any, probes: Any) -> None:
    """G's phase must not unfreeze it on its way."""
    D = nn.Sequential(probes.TinyD())
    D[0].layer.bias.requires_grad_(False)

    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = D[0]

        def forward(self, x: Any, y: Any = None) -> Any:
            return self.inner(x)

    run = assemble(VECTORS, generator=probes.TinyG(), discriminator=Frozen(), data=TensorDataset(torch.randn(12, 2)))
    before = D[0].layer.bias.clone()
    run.advance(2)
    assert torch.equal(D[0].layer.bias, before)
    assert not D[0].layer.bias.requires_grad
