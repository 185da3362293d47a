"""Phases as graphs: the same gradients, numbers, random streams and taps as eagerly, and a way back."""

import random
import shutil

import pytest
import torch
from attrs import evolve
from torch import nn
from torch.utils.data import TensorDataset

import gancore
from gancore.training.compiled import Compiled, operator_by_operator, phase_by_inductor
from gancore.training.draws import Giving, Noting, UntraceableError
from gancore.training.player import Regularizer

needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")

MLP = 'name = "mlp"\nlatent_dim = 6\nhidden = [16, 16]'
CONDITIONAL = 'name = "dcgan"\nlatent_dim = 6\nwidth = 4\nconditional = true'
CASES = {
    "mlp, wgan-gp": (MLP, '[loss]\nname = "wgan-gp"', (1, 8, 8)),
    "mlp, relativistic, r1 and r2, lazy": (
        MLP,
        '[loss]\nname = "relativistic"\n[[regularizer]]\nname = "r1"\nevery = 2\n[[regularizer]]\nname = "r2"',
        (1, 8, 8),
    ),
    "mlp, hinge, spectral norm, noise": (
        MLP,
        '[loss]\nname = "hinge"\n[[regularizer]]\nname = "spectral-norm"\n[[regularizer]]\nname = "instance-noise"',
        (1, 8, 8),
    ),
    "dcgan, batch norm, labels, diffaugment": (
        CONDITIONAL,
        '[loss]\nname = "nonsaturating"\n[[regularizer]]\nname = "diffaugment"',
        (3, 16, 16),
    ),
    "mlp, dragan, clipping": (
        MLP,
        '[loss]\nname = "lsgan"\n[[regularizer]]\nname = "dragan"\n[[regularizer]]\nname = "gradient-clipping"',
        (1, 8, 8),
    ),
    "mlp, autoclip": (MLP, '[loss]\nname = "nonsaturating"\n[[regularizer]]\nname = "autoclip"', (1, 8, 8)),
}


def run_of(tmp_path, case, *settings):
    model, rest, shape = CASES[case]
    file = tmp_path / "x.toml"
    file.write_text(
        "callback = []\n[train]\nsteps = 100\nbatch_size = 8\n"
        f'device = "cpu"\n[model]\n{model}\n{rest}\n[optimizer]\nname = "adam"\n'
    )
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, *shape), dtype=torch.uint8, generator=rng)
    labels = torch.arange(64) % 3
    return gancore.load(file, settings).assemble(data=TensorDataset(images, labels))


MLP = "name = 'mlp'\nhidden = [8]\n"
ADAM = "[loss]\nname = 'nonsaturating'\n[optimizer]\nname = 'adam'\n"
CLIPPED = (
    "[loss]\nname = 'wasserstein'\n[optimizer]\nname = 'sgd'\n"
    "[[regularizer]]\nname = 'gradient-clipping'\nlimit = 1e-3\n"
)


def small_run(tmp_path, tables, *settings, **networks):
    """On a few images of noise, with networks of the test's own."""
    file = tmp_path / "x.toml"
    engine = "callback = []\n[train]\nsteps = 9\nbatch_size = 8\ndevice = 'cpu'\n[health]\nprobe = false\n"
    file.write_text(engine + tables)
    images = torch.randint(0, 256, (32, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return gancore.load(file, list(settings)).assemble(data=TensorDataset(images), **networks)


def as_traced(run):
    """The run, its phases as graphs that run operator by operator, which needs no compiler."""
    run.game = evolve(run.game, differentiate=Compiled(run.clock, operator_by_operator))
    return run


def assert_alike(one, other, tolerance, of_numbers=1e-3):
    for a, b in zip(one.game.generator.network.state_dict().values(),
                    other.game.generator.network.state_dict().values(), strict=True):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    for a, b in zip(one.game.discriminator.network.state_dict().values(),
                    other.game.discriminator.network.state_dict().values(), strict=True):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    numbers, theirs = one.look(), other.look()
    assert numbers == pytest.approx(theirs, rel=of_numbers, abs=1e-3 * of_numbers + 1e-4)


@pytest.mark.parametrize("case", CASES)
def test_a_traced_phase_does_what_the_eager_one_does(tmp_path, case):
    eager = run_of(tmp_path, case, "health.every=1")
    traced = as_traced(run_of(tmp_path, case, "health.every=1"))
    eager.advance(3)
    traced.advance(3)
    assert not traced.game.differentiate.failed
    assert_alike(eager, traced, 3e-5)  # Adam makes much of how the last digits of a small gradient were rounded
    found, expected = (run.checkup.probe.fetched() for run in (eager, traced))
    assert ("penalty/discriminator" in found[-1].numbers) == (eager.game.discriminator.slowest_penalty > 0)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.step == theirs.step
        assert ours.numbers == pytest.approx(theirs.numbers, rel=1e-3, abs=1e-5)
        assert list(ours.layers) == list(theirs.layers)
        for role, layers in ours.layers.items():
            for name, found in layers.items():
                assert found == pytest.approx(theirs.layers[role][name], rel=1e-3, abs=1e-9), (role, name)
    streams = (eager.state_dict()["streams"], traced.state_dict()["streams"])
    assert streams[0].keys() == streams[1].keys()
    for name, state in streams[0].items():
        assert torch.equal(state, streams[1][name]), name


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "precision"),
    [
        ("mlp, wgan-gp", "fp32"),
        ("dcgan, batch norm, labels, diffaugment", "fp32"),
        ("mlp, hinge, spectral norm, noise", "bf16"),
    ],
)
def test_a_compiled_phase_does_what_the_eager_one_does(tmp_path, case, precision):
    settings = (f"train.precision={precision}", "health.probe=false")
    eager = run_of(tmp_path, case, *settings)
    compiled = run_of(tmp_path, case, "train.compile=phase", *settings)
    said = []
    compiled.game.differentiate.heard_by(said.append)
    eager.advance(3)
    compiled.advance(3)
    assert not [words for words in said if "not compiled" in words]
    # Adam's first steps are signs of gradients: where one is about 0, a last bit decides.
    assert_alike(eager, compiled, 2e-3, of_numbers=1e-3 if precision == "fp32" else 5e-2)


@needs_compiler
@pytest.mark.slow
def test_networks_can_be_compiled_alone(tmp_path):
    eager = run_of(tmp_path, "mlp, wgan-gp", "health.every=2")
    compiled = run_of(tmp_path, "mlp, wgan-gp", "train.compile=networks", "health.every=2")
    eager.advance(4)
    compiled.advance(4)
    assert_alike(eager, compiled, 1e-4)


@needs_compiler
@pytest.mark.slow
def test_a_compiled_run_resumes_bit_by_bit(tmp_path):
    case, settings = "mlp, wgan-gp", ("train.compile=phase", "health.probe=false")
    whole, first, second = (run_of(tmp_path, case, *settings) for _ in range(3))
    whole.advance(6)
    first.advance(3)
    second.load_state_dict(first.state_dict())
    second.advance(3)
    for a, b in zip(whole.generator.state_dict().values(), second.generator.state_dict().values(), strict=True):
        assert torch.equal(a, b)


class Looks(nn.Module):
    """A network that looks at its numbers."""

    latent_dim = 4

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 64)

    def forward(self, z, y=None):
        x = self.linear(z)
        return (x if x.sum().item() > 0 else -x).view(-1, 1, 8, 8)


class Drops(nn.Module):
    latent_dim = 4

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5))

    def forward(self, z, y=None):
        return self.layers(z).view(-1, 1, 8, 8)


@pytest.mark.parametrize(
    ("network", "reason"), [(Looks, "the value of a tensor is read in Python"), (Drops, "global random stream")]
)
def test_what_cannot_be_traced_runs_eagerly_and_the_user_is_told(tmp_path, network, reason):
    torch.manual_seed(0)
    run = small_run(tmp_path, f"[discriminator]\n{MLP}{ADAM}", "train.compile=phase", generator=network())
    said = []
    run.game.differentiate.heard_by(said.append)
    before = [p.clone() for p in run.game.generator.parameters]
    run.advance(2)
    assert any(reason in words and "generator's phase" in words for words in said), said
    assert all(not torch.equal(a, b) for a, b in zip(before, run.game.generator.parameters, strict=True))


def test_wrong_machine_code_is_noticed_and_not_used(tmp_path):
    def miscompiled(graph, examples):
        return lambda *flat: [value * 1.5 for value in graph(*flat)]

    eager, run = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false") for _ in range(2))
    run.game = evolve(run.game, differentiate=Compiled(run.clock, miscompiled))
    eager.advance(2)
    run.advance(2)
    assert sum("would differ by 0.5" in words for words in run.game.differentiate.failed) == 2
    assert_alike(eager, run, 0)


def test_a_small_number_that_is_wrong_is_not_hidden_by_a_large_one(tmp_path):
    """In the same row."""
    rows = []

    def miscompiled(graph, examples):
        def call(*flat):
            *gradients, row = graph(*flat)
            rows.append(row.clone())
            row[row.abs().argmin()] += 1
            return [*gradients, row]

        return call

    run = run_of(tmp_path, "mlp, wgan-gp", "health.probe=false", "loss.weight=1e4")
    run.game = evolve(run.game, differentiate=Compiled(run.clock, miscompiled))
    run.advance(1)
    assert rows[0].norm() > 1e3
    assert run.game.differentiate.failed[0].startswith("discriminator's phase is not compiled: what it computes would")


def test_what_the_wrapper_in_cpp_cannot_do_is_done_by_the_one_in_python(monkeypatch):
    asked = []

    def refusing(graph, examples, *, cpp_wrapper=False):
        asked.append(cpp_wrapper)
        if cpp_wrapper:
            raise RuntimeError("an operator of one's own")
        return graph

    monkeypatch.setattr("gancore.training.compiled.by_inductor", refusing)
    assert phase_by_inductor("graph", [torch.zeros(1)]) == "graph"
    assert phase_by_inductor("graph", [torch.zeros(1, device="meta")]) == "graph"
    assert asked == [True, False, False]


def test_random_numbers_in_place_are_lifted_too():
    rng = torch.Generator().manual_seed(3)
    with Noting() as noting:
        torch.empty(4).uniform_(-1, 1, generator=rng)
        torch.randn(2, 2, generator=rng)
    rng.manual_seed(3)
    drawn = [draw() for draw in noting.draws]
    rng.manual_seed(3)
    expected = torch.empty(4).uniform_(-1, 1, generator=rng), torch.randn(2, 2, generator=rng)
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected, strict=True))
    with Giving(drawn):
        assert torch.equal(torch.zeros(4).uniform_(-1, 1, generator=rng), expected[0])
        assert torch.equal(torch.randn(2, 2, generator=rng), expected[1])


def test_random_numbers_that_depend_on_others_cannot_be_lifted():
    rng = torch.Generator().manual_seed(3)
    with Noting(), pytest.raises(UntraceableError, match="bernoulli draws random numbers that depend"):
        torch.bernoulli(torch.full((3,), 0.5), generator=rng)


def test_what_changes_in_python_is_noticed_and_put_back(tmp_path):
    class Remembers:
        """A count, and a tensor of the last phase."""

        every = 1

        def __init__(self):
            self.count, self.seen = 0, {"scores": []}

        def penalty(self, phase, context):
            self.count += 1
            self.seen["scores"][:] = [phase.real_score.mean().detach()]
            return phase.real_score.mean() * self.count

    eager, run = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false") for _ in range(2))
    for each in (eager, run):
        D = each.game.discriminator
        D.regularizers += (Regularizer("remembers", Remembers(), D.regularizers[0].context),)
    as_traced(run)
    eager.advance(3)
    run.advance(3)
    assert run.game.differentiate.failed == [
        "discriminator's phase is not compiled: 'remembers' changed in Python in a phase, which a graph would freeze"
    ]
    component = run.game.discriminator.regularizers[-1].component
    assert component.count == 3
    assert type(component.seen["scores"][0]) is torch.Tensor
    assert_alike(eager, run, 1e-5)


class Replaces(nn.Module):
    """A buffer that becomes another tensor, a random number of Python, and a cache outside."""

    latent_dim = 6
    cache: dict = {}  # noqa: RUF012

    def __init__(self, how):
        super().__init__()
        self.linear, self.how = nn.Linear(6, 64), how
        self.register_buffer("mean", torch.zeros(64))

    def forward(self, z, y=None):
        x = self.linear(z)
        if self.how == "buffer":
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
            x = x - self.mean
        if self.how == "random":
            x = x * (1 + random.random())
        if self.how == "cache":
            if "grid" not in Replaces.cache:
                Replaces.cache["grid"] = torch.linspace(0, 1, 64)
            x = x + Replaces.cache["grid"]
        return torch.tanh(x).view(-1, 1, 8, 8)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("buffer", "the generator puts another tensor in the place of its mean"),
        ("random", "Python's random stream changed in Python in a phase"),
        ("cache", "a tensor is used that is neither an input, nor a parameter or buffer"),
    ],
)
def test_what_a_network_does_in_python(tmp_path, how, reason):
    Replaces.cache.clear()
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        runs.append(small_run(tmp_path, f"[discriminator]\n{MLP}{ADAM}", generator=Replaces(how)))
    eager, traced = runs[0], as_traced(runs[1])
    eager.advance(4)
    traced.advance(4)
    failed = traced.game.differentiate.failed
    assert failed
    assert all(reason in words for words in failed)
    assert_alike(eager, traced, 1e-5)


def test_two_parameters_with_one_gradient_have_each_their_own(tmp_path):
    class Twins(nn.Module):
        mixes_samples = False

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 1)
            self.one, self.two = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

        def forward(self, x, y=None):
            return (self.linear(x.flatten(1)) + (self.one + self.two)).squeeze(1)

    run = as_traced(small_run(tmp_path, f"[generator]\n{MLP}{CLIPPED}", discriminator=Twins()))
    run.advance(1)
    assert not run.game.differentiate.failed
    one, two = (run.discriminator.get_parameter(name).grad for name in ("one", "two"))
    assert one.data_ptr() != two.data_ptr()


@pytest.mark.parametrize("traced", [False, True])
def test_parameters_whose_gradients_are_parts_of_one_are_clipped_once(tmp_path, traced):
    class Joined(nn.Module):
        latent_dim = 4

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 64)
            self.common, self.own = nn.Parameter(torch.zeros(64)), nn.Parameter(torch.zeros(32))

        def forward(self, z, y=None):
            x = self.linear(z) + (self.common + torch.cat([torch.zeros_like(self.own), self.own]))
            return x.view(-1, 1, 8, 8)

    run = small_run(tmp_path, f"[discriminator]\n{MLP}{CLIPPED}", generator=Joined())
    if traced:
        as_traced(run)
    run.advance(1)
    network = run.game.generator.network
    torch.testing.assert_close(network.own.grad, network.common.grad[32:])  # each clipped once
    norm = torch.stack([p.grad.norm() for p in network.parameters()]).norm()
    torch.testing.assert_close(norm, torch.tensor(1e-3), rtol=1e-3, atol=0)
