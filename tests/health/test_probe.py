"""What the probe measures, against plain autograd in float64."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gancore
from gancore.contracts import ROLES
from gancore.health.layers import Layers, weight_layers
from gancore.health.probe import WINDOW, Probe
from gancore.health.reading import joined
from gancore.health.taps import Aims, PhaseProbe
from gancore.testing.device_safe import DEVICE, device_safe
from gancore.training.numbers import Numbers
from gancore.training.objective import Objective, backward
from gancore.training.phases import discriminator_phase, generator_phase
from gancore.training.player import Player, Regularizer
from gancore.training.recorder import Tape

LOSSES = ["minimax", "nonsaturating", "lsgan", "hinge", "relativistic", "wasserstein", "wgan-gp"]

EXPERIMENT = """
[train]
steps = 10
batch_size = 16
device = "cpu"
[data]
name = "digits"
[model]
name = "mlp"
latent_dim = 8
hidden = [24, 20, 16]
activation = "tanh"
init = "xavier"
[loss]
name = "{loss}"
[optimizer]
name = "adam"
lr = 1e-2
"""


@pytest.fixture
def assembled(tmp_path: Path) -> Callable[..., Any]:
    def assemble(loss: str = "nonsaturating", extra: str = "", **data: Any) -> Any:
        file = tmp_path / "x.toml"
        file.write_text(EXPERIMENT.format(loss=loss) + extra)
        run = gancore.load(file, ["callback=[]"]).assemble(**data)
        run.advance(3)  # away from the start, where biases are zero
        return run

    return assemble


def differentiate(tap: PhaseProbe, loss: Tensor, network: nn.Module, penalties: Any = ()) -> list[Tensor | None]:
    backward(Objective(loss, dict(penalties)), list(network.parameters()), tap)
    return [parameter.grad for parameter in network.parameters()]


def norm(tensors: Any) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors if t is not None))


def trace(network: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The network's output and the outputs of its linear layers, all of one graph."""
    kept: list[Tensor] = []
    handles = [
        layer.register_forward_hook(lambda _m, _i, output: kept.append(output))
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    out = network(x)
    for handle in handles:
        handle.remove()
    return out, kept


def rms(gradient: Tensor) -> float:
    """Of N times the gradient of a mean."""
    return float((gradient * len(gradient)).square().mean().sqrt())


@pytest.mark.parametrize("loss", LOSSES)
def test_the_three_factors_are_those_of_plain_autograd(loss: str, assembled: Callable[..., Any]) -> None:
    run = assembled(loss)
    G, D = (copy.deepcopy(run.game.generator.network).double(), copy.deepcopy(run.game.discriminator.network).double())
    probe, tape = Probe(), Tape()
    with tape.recording(run):
        generator_phase(run.game, 0, Numbers(), measure=False, probe=probe.phase("generator", whole=True))
    found = probe.fetch(1)

    z = tape.latents[0][0].double()
    real = tape.reals[0][0].double() if tape.reals else None
    fake, layers = trace(G, z)
    score = D(fake)
    value = run.game.loss.generator(None if real is None else D(real), score)
    at_score, _, *at_layers = torch.autograd.grad(value, [score, fake, *layers], retain_graph=True)
    at_weights = torch.autograd.grad(value, list(G.parameters()))
    n = len(z)
    A = float((n * at_score.abs()).mean())
    per_sample = torch.stack([torch.autograd.grad(D(x[None]).sum(), x)[0] for x in fake.detach().requires_grad_()])
    B = float(per_sample.flatten(1).norm(dim=1).mean())
    C = norm(at_weights) / (A * B)
    expected = {"A": A, "B": B, "C": C, "gradient/generator": norm(at_weights)}
    for name, value_of in expected.items():
        assert found.numbers[name] == pytest.approx(value_of, rel=2e-4), name
    assert found.numbers["A"] * found.numbers["B"] * found.numbers["C"] == pytest.approx(norm(at_weights), rel=2e-4)
    measured = [layer["gradient"] for layer in found.layers["generator"].values()]
    assert measured == pytest.approx([rms(gradient) for gradient in at_layers], rel=2e-4)
    assert found.numbers["rho/generator"] == pytest.approx(rms(at_layers[0]) / rms(at_layers[-1]), rel=2e-4)
    assert list(found.layers["generator"]) == ["layers.0", "layers.2", "layers.4", "layers.6"]


@pytest.mark.parametrize("loss", LOSSES)
def test_ds_phase_is_that_of_plain_autograd(loss: str, assembled: Callable[..., Any]) -> None:
    """With the penalty in the gradients of the weights, and not in the signal at the layers."""
    run = assembled(loss)
    G, D = (copy.deepcopy(run.game.generator.network).double(), copy.deepcopy(run.game.discriminator.network).double())
    before = [p.detach().clone() for p in run.game.discriminator.parameters]
    rng = (
        run.game.discriminator.regularizers[0].context.rng.get_state() if run.game.discriminator.regularizers else None
    )
    probe, tape = Probe(Aims(lipschitz=True)), Tape()
    with tape.recording(run):
        tap = probe.phase("discriminator", whole=True, weigh=True)
        discriminator_phase(run.game, 0, Numbers(), measure=False, probe=tap)
    found = probe.fetch(1)

    real, z = tape.reals[0][0].double(), tape.latents[0][0].double()
    fake = G(z).detach()
    real_score, real_layers = trace(D, real)
    fake_score, fake_layers = trace(D, fake)
    value = run.game.loss.discriminator(real_score, fake_score)
    gradients = torch.autograd.grad(value, [real_score, fake_score, *real_layers, *fake_layers], retain_graph=True)
    a = torch.cat([gradients[0] * len(z), gradients[1] * len(z)]).abs()
    assert found.numbers["discriminator/A"] == pytest.approx(float(a.mean()), rel=2e-4)
    pairs = zip(gradients[2 : 2 + len(real_layers)], gradients[2 + len(real_layers) :], strict=True)
    together = [float((torch.cat(pair) * len(z)).square().mean().sqrt()) for pair in pairs]
    measured = [layer["gradient"] for layer in found.layers["discriminator"].values()]
    assert measured == pytest.approx(together, rel=2e-4)
    greater = (real_score[:, None] > fake_score[None, :]).double().mean()
    assert found.numbers["auc"] == pytest.approx(float(greater), abs=2e-3)
    assert found.numbers["gap"] == pytest.approx(
        float((real_score.mean() - fake_score.mean()).detach()), rel=1e-3, abs=1e-5
    )
    if rng is not None:  # wgan-gp: the penalty again, with the very same points
        player = run.game.discriminator.regularizers[0]
        player.context.rng.set_state(rng)
        single = copy.deepcopy(D).float()  # the points are drawn in float32
        phase = gancore.Phase(
            role="discriminator", generator=G, discriminator=single, z=z, fake=fake.float(), fake_score=fake_score,
            real=real.float(), real_score=real_score, real_labels=None,
        )  # fmt: skip
        penalty = player.component.penalty(phase, player.context)
        of_penalty = torch.autograd.grad(penalty, list(single.parameters()), allow_unused=True)
        of_loss = torch.autograd.grad(value, list(D.parameters()), retain_graph=True)
        assert found.numbers["penalty/discriminator"] == pytest.approx(norm(of_penalty) / norm(of_loss), rel=5e-3)
        both = [p + q if p is not None else q for p, q in zip(of_penalty, of_loss, strict=True)]
        assert found.numbers["gradient/discriminator"] == pytest.approx(norm(both), rel=5e-3)
        share = (torch.arange(len(z)).double() + 0.5) / len(z)
        between = torch.lerp(fake, real, share.view(-1, 1, 1, 1)).requires_grad_()
        (slope,) = torch.autograd.grad(D(between).sum(), between)
        assert found.numbers["slope"] == pytest.approx(float(slope.flatten(1).norm(dim=1).mean()), rel=2e-4)
    now = run.game.discriminator.parameters
    ratios = sorted(
        float((new.detach() - old).std() / old.std()) for new, old in zip(now, before, strict=True) if old.dim() > 1
    )
    assert found.numbers["update/discriminator"] == pytest.approx(ratios[(len(ratios) - 1) // 2], rel=1e-4)


def test_where_d_mixes_samples_its_slope_is_measured_on_its_own(assembled: Callable[..., Any]) -> None:
    run = assembled("nonsaturating", '[[regularizer]]\nname = "instance-noise"\nsigma = 0.0\n')
    probe, tape = Probe(Aims(mixes_samples=True)), Tape()
    D = copy.deepcopy(run.game.discriminator.network).double()
    G = copy.deepcopy(run.game.generator.network).double()
    with tape.recording(run):
        generator_phase(run.game, 0, Numbers(), measure=False, probe=probe.phase("generator", whole=True))
    fake = G(tape.latents[0][0].double()).detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(fake).sum(), fake)
    assert probe.fetch(1).numbers["B"] == pytest.approx(float(slope.flatten(1).norm(dim=1).mean()), rel=2e-4)


@pytest.mark.parametrize(
    "extra",
    ["", '[[regularizer]]\nname = "r1"\nevery = 3\n', '[[regularizer]]\nname = "spectral-norm"\n'],
    ids=["plain", "lazy", "spectral-norm"],
)
@pytest.mark.parametrize("every", [1, 4])
def test_probing_changes_no_bit_of_a_run(extra: str, every: int, tmp_path: Path) -> None:
    def trained(probe: bool) -> list[Tensor]:
        file = tmp_path / "x.toml"
        file.write_text(EXPERIMENT.format(loss="wgan-gp") + extra)
        settings = ["callback=[]", f"health.probe={str(probe).lower()}", f"health.every={every}", "train.n_critic=2"]
        run = gancore.load(file, settings).assemble()
        for _ in range(8):
            run.advance(1)
            if run.checkup:
                run.checkup.probe.fetch(run.step)
        state = [
            *run.game.generator.network.state_dict().values(),
            *run.game.discriminator.network.state_dict().values(),
        ]
        return [value.clone() for value in state]

    for with_probe, without in zip(trained(True), trained(False), strict=True):
        assert torch.equal(with_probe, without)


def test_units_are_dead_when_nothing_moved_them_for_five_probes() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(2, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x) * torch.tensor([1.0, 1.0, 0.0, 0.0])  # two units that no gradient reaches
            out: Tensor = self.last(h)
            return out.squeeze(1)

    probe, network = Probe(), Half()
    shares = []
    for step in range(6):
        tap = probe.phase("generator", whole=True)
        with tap.watching(network):
            score = network(torch.randn(8, 2))
        differentiate(tap, score.mean(), network)
        shares.append(probe.fetch(step).layers["generator"]["first"]["dead"])
    assert shares == [0, 0, 0, 0, 0.5, 0.5]
    again = Probe()
    again.load_state_dict(probe.state_dict())
    kept = again.state_dict()["idle"]["generator"]
    assert {name: counts.tolist() for name, counts in kept.items()} == {"first": [0, 0, 6, 6], "last": [0]}


def dead_after(network: nn.Module, D: Callable[[Tensor], Tensor], size: tuple[int, ...]) -> list[float]:
    """The share of dead units in the first layer of a generator, probe by probe."""
    probe, shares = Probe(), []
    for step in range(WINDOW + 1):
        tap = probe.phase("generator", whole=True)
        with tap.watching(network):
            fake = network(torch.ones(size))
        score = D(fake)
        tap.scored(score, fake)
        differentiate(tap, score.mean(), network)
        shares.append(next(iter(probe.fetch(step).layers["generator"].values()))["dead"])
    return shares


def mean(fake: Tensor) -> Tensor:
    return fake.flatten(1).mean(1)


@pytest.mark.parametrize("D", [lambda fake: mean(0 * fake), lambda fake: 0 * mean(fake)], ids=["B = 0", "A = 0"])
def test_where_nothing_arrives_at_the_network_no_unit_is_called_dead(D: Callable[[Tensor], Tensor]) -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    assert dead_after(network, D, (8, 2)) == [0.0] * (WINDOW + 1)


def test_a_generator_whose_last_activation_lets_nothing_through_is_dead() -> None:
    """What arrives at the fakes dies in the tanh, before the last layer."""
    network = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1), nn.Tanh())
    with torch.no_grad():
        network[1].bias.fill_(1e3)  # type: ignore[union-attr, operator]
    assert dead_after(network, mean, (8, 2))[-2:] == [1.0, 1.0]


def test_channels_of_linear_layers_are_the_last_dimension() -> None:
    """On (N, T, C) as well: three places, four channels, of which one is off."""
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        network[0].weight.abs_()  # type: ignore[union-attr, operator]
        network[0].bias.copy_(torch.tensor([1.0, 1.0, 1.0, -100.0]))  # type: ignore[union-attr, operator]
        network[2].weight.fill_(1.0)  # type: ignore[union-attr, operator]
    assert dead_after(network, mean, (8, 3, 2))[-1] == 0.25
    layers = Layers(weight_layers(network))
    with layers.attached():
        out = network(torch.ones(8, 3, 2))
    layers.heard(torch.autograd.grad(out.sum(), layers.edges))
    assert [tuple(layers.moved(name).shape) for name in layers.names] == [(4,), (1,)]
    kernel = nn.Conv1d(2, 5, 1)
    kernels = Layers({"0": kernel})
    with kernels.attached():
        out = kernel(torch.ones(8, 2, 3))
    kernels.heard(torch.autograd.grad(out.sum(), kernels.edges))
    assert kernels.moved("0").shape == (5,)


@pytest.mark.parametrize(
    ("rhythms", "together"),
    [((), 0), ((1,), 1), ((16, 1), 16), ((4, 6), 12), ((16, 15), 240), ((997, 991), 997)],
)
def test_penalties_are_weighed_where_all_are_due(rhythms: tuple[int, ...], together: int) -> None:
    class Due:
        def __init__(self, every: int) -> None:
            self.every = every

        def penalty(self, phase: Any, context: Any) -> Tensor:
            raise NotImplementedError

    regularizers = tuple(Regularizer(f"due-{k}", Due(k), None) for k in rhythms)  # type: ignore[arg-type]
    player = Player("discriminator", None, None, None, regularizers)  # type: ignore[arg-type]
    assert player.slowest_penalty == together


def test_signals_far_below_float32s_squares_are_small_and_not_dead() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    layers = Layers(weight_layers(network))
    with layers.attached():
        out = network(torch.randn(4, 3))
    layers.heard(torch.autograd.grad(out.sum() * 1e-30, layers.edges))
    assert float(dict(layers.norms())["1"]) * layers.scale("1") == pytest.approx(
        4e-30, rel=1e-4
    )  # N times the gradient
    assert bool((layers.moved("1") > 0).all())


def test_gradients_that_penalties_take_for_themselves_are_not_measured() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    probe = Probe()
    tap = probe.phase("discriminator", whole=True)
    x = torch.randn(5, 3, requires_grad=True)
    with tap.watching(network):
        score = network(x).squeeze(1)
    tap.scored(score)
    torch.autograd.grad(score.sum(), x, create_graph=True)  # as r1 would
    differentiate(tap, score.mean(), network)
    assert probe.fetch(1).numbers["discriminator/A"] == pytest.approx(1.0)


def test_spectral_norms_layers_are_found_under_their_parametrization() -> None:
    network = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 1))
    assert list(weight_layers(network)) == ["0", "2"]
    assert list(weight_layers(nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2), nn.Conv2d(1, 1, 1)))) == ["2"]


def test_a_phase_that_is_not_probed_costs_no_hook(assembled: Callable[..., Any]) -> None:
    probe = Probe()
    tap = probe.phase("generator", whole=False)
    network = nn.Linear(2, 2)
    with tap.watching(network):
        assert not network._forward_hooks
    assert probe.fetch(1).numbers == {}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_nothing_waits_for_the_device_until_the_fetch(batch_norm: bool) -> None:
    """Both phases, with everything that is ever measured, where no tensor has a value."""

    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            norm = nn.BatchNorm2d(8) if batch_norm else nn.Identity()
            self.layers = nn.Sequential(nn.Conv2d(1, 8, 3), norm, nn.LeakyReLU(), nn.Flatten(), nn.Linear(32, 1))

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            score: Tensor = self.layers(x)
            return score.squeeze(1)

    with device_safe("the probe"):
        with torch.device(DEVICE):
            G = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 16), nn.Unflatten(1, (1, 4, 4)))
            D, real, z = Scores(), torch.empty(16, 1, 4, 4), torch.empty(16, 3)
        probe = Probe(Aims(batch_norm, lipschitz=True, held_out=(real, None)))
        tap, parameters = probe.phase("discriminator", whole=True, weigh=True), list(D.parameters())
        fake = G(z).detach()
        with tap.watching(D):
            real_score, fake_score = D(real), D(fake)
        tap.scored(real_score)
        tap.scored(fake_score)
        tap.compared(D, (real, fake), (real_score, fake_score), (None, None))
        loss, penalty = fake_score.mean() - real_score.mean(), D(real).square().mean()
        tap.averaged(differentiate(tap, loss, D, {"penalty": penalty}))
        tap.before_update(parameters)
        torch.optim.SGD(parameters, 0.1).step()
        tap.after_update(parameters)
        tap = probe.phase("generator", whole=True)
        with tap.watching(G):
            made = G(z)
        score = D(made)
        tap.scored(score, made)
        tap.averaged(differentiate(tap, -score.mean(), G))
        probe.close(1)
        (closed,) = probe.state_dict()["closed"]
        assert {reading["values"].device.type for reading in closed["readings"]} == {DEVICE}
        labels = [label for reading in closed["readings"] for label in reading["labels"]]
        assert {name for kind, _, name, _ in labels if kind == "number"} == {
            "auc", "gap", "diversity", "duplicates", "diversity/features", "slope", "auc/seen", "auc/held-out",
            "penalty/discriminator", "gradient/discriminator", "discriminator/A", "gradient/generator", "A", "B",
        }  # fmt: skip
        both = [(kind, role) for kind in ("gradient", "channel", "arrived", "weight") for role in ROLES]
        assert {(kind, role) for kind, role, _, _ in labels if role} == {*both, ("step", "discriminator")}


def test_bfloat16_measures_the_same_game(tmp_path: Path) -> None:
    found = []
    for precision in ("fp32", "bf16"):
        file = tmp_path / "x.toml"
        file.write_text(EXPERIMENT.format(loss="nonsaturating"))
        settings = ["callback=[]", "health.every=1", f"train.precision={precision}"]
        run = gancore.load(file, settings).assemble()
        run.advance(1)
        assert run.checkup is not None
        found.append(run.checkup.probe.fetch(1).numbers)
    for name in ("A", "B", "C", "rho/generator", "rho/discriminator", "gradient/generator"):
        assert found[1][name] == pytest.approx(found[0][name], rel=0.1), name


def test_what_a_checkpoint_has_brought_along_is_taken_to_where_the_run_is() -> None:
    probe = Probe()
    probe.phase("generator", whole=False, weigh=True).reading.add("gap", torch.tensor(1.0))
    again = Probe()
    again.load_state_dict(probe.state_dict())
    again.phase("generator", whole=True).reading.add("A", torch.empty((), device="meta"))
    again.close(1)
    (closed,) = again.state_dict()["closed"]
    assert joined([reading["values"] for reading in closed["readings"]])[1].device.type == "meta"


@pytest.mark.parametrize("loss", ["nonsaturating", "wgan-gp"])
def test_probes_that_nobody_has_looked_at_yet_are_the_same_in_a_resumed_run(loss: str, tmp_path: Path) -> None:
    """To the last bit, also what is added up of several parts."""
    file = tmp_path / "x.toml"
    file.write_text(EXPERIMENT.format(loss=loss))
    settings = ["callback=[]", "health.every=1", "train.steps=40", "train.one_pass=off"]
    whole, saved, resumed = (gancore.load(file, settings).assemble() for _ in range(3))
    whole.advance(23)
    saved.advance(13)
    resumed.load_state_dict(copy.deepcopy(saved.state_dict()))
    resumed.advance(10)
    assert whole.checkup is not None
    assert resumed.checkup is not None
    found, expected = resumed.checkup.probe.fetched(), whole.checkup.probe.fetched()
    assert len(expected) == 23
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.step, ours.numbers, ours.layers) == (theirs.step, theirs.numbers, theirs.layers)


def test_a_phase_that_broke_off_does_not_count_in_the_next_probe() -> None:
    probe = Probe()
    for value in (3.0, 5.0):
        reading = probe.phase("discriminator", whole=True).reading
        reading.add("discriminator/A", torch.tensor(value), 0.5)
        reading.add("discriminator/A", torch.tensor(value), 0.5)
    assert probe.fetch(1).numbers["discriminator/A"] == 5.0


def test_idle_channels_are_counted_layer_by_layer() -> None:
    """Whatever order and type the layers come in, and whether they were packed by a graph."""
    probe, shares = Probe(), []
    for step in range(8):
        reading = probe.phase("generator", whole=True).reading
        layers = {"a": torch.ones(4), "b": torch.tensor([0.0, 1.0, 1.0, 1.0]).bfloat16()}
        for name in sorted(layers, reverse=step % 2 == 1):
            reading.add(name, torch.tensor(1.0), kind="gradient", role="generator")
            reading.add_channels(name, layers[name], "generator")
        if step in (3, 4):
            reading.parts = reading.packed().parts
        shares.append({name: found["dead"] for name, found in probe.fetch(step).layers["generator"].items()})
    assert shares == [{"a": 0.0, "b": 0.0}] * 4 + [{"a": 0.0, "b": 0.25}] * 4
