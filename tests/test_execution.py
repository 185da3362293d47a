"""What `auto` chooses: by the experiment and the machine, and the same every time."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import TensorDataset

import gancore
from gancore.assemble import build, execution
from gancore.assemble.work import Work
from gancore.training.compiled import Compiled, CompiledNetworks
from gancore.training.phases import EAGER, PLAINLY

TEXT = """
callback = []
[train]
steps = STEPS
batch_size = 64
device = "cpu"
[model]
name = "MODEL"
[loss]
name = "nonsaturating"
[optimizer]
name = "adam"
"""


def assembled(tmp_path, model="mlp", steps=1000, *settings, shape=(3, 32, 32), **networks):
    file = tmp_path / "x.toml"
    file.write_text(TEXT.replace("STEPS", str(steps)).replace("MODEL", model))
    images = torch.zeros(64, *shape, dtype=torch.uint8)
    return gancore.load(file, settings).assemble(data=TensorDataset(images), **networks)


@pytest.mark.parametrize(
    ("model", "steps", "compiles"),
    [("mlp", 10_000, False), ("mlp", 200_000, True), ("dcgan", 1_000, False), ("dcgan", 100_000, True)],
)
def test_only_long_runs_are_compiled(tmp_path, model, steps, compiles):
    run = assembled(tmp_path, model, steps)
    assert isinstance(run.game.differentiate, Compiled) is compiles


@pytest.mark.parametrize(("capture", "compiles"), [("off", True), ("auto", False)])
def test_what_costs_little_as_a_cuda_graph_is_compiled_in_longer_runs_only(tmp_path, monkeypatch, capture, compiles):
    choose, given = execution.choose_differentiate, []
    monkeypatch.setattr(build, "choose_differentiate", lambda *args: given.append(args) or choose(*args))
    assembled(tmp_path, "mlp", 200_000, f"train.capture={capture}")
    ((train, blueprint, players, _, *others),) = given
    on_a_gpu = SimpleNamespace(device=torch.device("cuda"))
    assert isinstance(choose(train, blueprint, players, on_a_gpu, *others), Compiled) is compiles


def test_it_can_be_demanded_and_refused(tmp_path):
    assert isinstance(assembled(tmp_path, "mlp", 10, "train.compile=phase").game.differentiate, Compiled)
    assert isinstance(assembled(tmp_path, "mlp", 10, "train.compile=networks").game.differentiate, CompiledNetworks)
    assert assembled(tmp_path, "mlp", 10**9, "train.compile=off").game.differentiate is EAGER


def test_without_a_gpu_nothing_is_captured(tmp_path):
    assert assembled(tmp_path).game.take is PLAINLY


class Critic(torch.nn.Sequential):
    def __init__(self, *layers, mixes=None):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(3072, 1), *layers, torch.nn.Flatten(0))
        if mixes is not None:
            self.mixes_samples = mixes

    def forward(self, x, y=None):
        return super().forward(x)


@pytest.mark.parametrize(
    ("model", "settings", "networks", "one_pass"),
    [
        ("mlp", (), {}, True),
        ("dcgan", (), {}, False),  # batch norm
        ("dcgan", ("model.discriminator_norm=layer",), {}, True),
        ("dcgan", ("train.one_pass=on",), {}, True),
        ("mlp", ("train.one_pass=off",), {}, False),
        ("mlp", (), {"discriminator": Critic()}, False),  # it does not say
        ("mlp", (), {"discriminator": Critic(mixes=False)}, True),
        ("mlp", (), {"discriminator": Critic(mixes=True)}, False),
    ],
)
def test_reals_and_fakes_go_together_where_d_does_not_mix_samples(tmp_path, model, settings, networks, one_pass):
    assert assembled(tmp_path, model, 10, *settings, **networks).game.one_pass is one_pass


@pytest.mark.parametrize("loss", ["nonsaturating", "relativistic"])
def test_one_pass_does_what_two_do(tmp_path, loss):
    runs = [assembled(tmp_path, "mlp", 10, f"train.one_pass={how}", f"loss.name={loss}") for how in ("on", "off")]
    for run in runs:
        run.advance(5)
    for one, two in zip(*(run.game.discriminator.parameters for run in runs), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


def test_convolutions_lie_channels_last_and_their_moments_too(tmp_path):
    run = assembled(tmp_path, "dcgan", 10)
    run.advance(2)
    weight = run.game.discriminator.parameters[0]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    again = assembled(tmp_path, "dcgan", 10)
    state = copy.deepcopy(run.state_dict())
    loose = state["discriminator"]["optimizer"]["state"][0]
    state["discriminator"]["optimizer"]["state"][0] = {
        key: value.contiguous() for key, value in loose.items()
    }  # as a file has it
    again.load_state_dict(state)
    for kept in again.game.discriminator.optimizer.state.values():
        for value in kept.values():
            assert value.dim() < 4 or value.is_contiguous(memory_format=torch.channels_last)
    for one in (run, again):
        one.advance(1)
    for a, b in zip(run.game.discriminator.parameters, again.game.discriminator.parameters, strict=True):
        assert torch.equal(a, b)


def test_where_memory_lies_changes_nothing_but_last_bits(tmp_path):
    runs = [assembled(tmp_path, "dcgan", 10, f"train.memory_format={f}") for f in ("channels_last", "contiguous")]
    for run in runs:
        run.advance(1)
    # Adam's first step is the sign of a gradient: all but those about 0 agree.
    for one, two in zip(*(run.game.generator.parameters for run in runs), strict=True):
        assert ((one - two).abs() < 1e-5).float().mean() > 0.98


def test_work_is_counted_as_by_hand(tmp_path):
    work = Work()
    layer, kernel = torch.nn.Linear(5, 7), torch.nn.Conv2d(3, 4, 3, padding=1)
    turned = torch.nn.ConvTranspose2d(3, 4, 4, stride=2)
    for network, x, flops in (
        (layer, torch.zeros(2, 5), 2 * 5 * 7),
        (kernel, torch.zeros(2, 3, 8, 8), 2 * 27 * 4 * 64),
        (turned, torch.zeros(2, 3, 8, 8), 2 * 3 * 4 * 16 * 64),
    ):
        with work.counted("generator", network, 2):
            network(x)
        assert work["generator"] == flops
    work |= {"generator": 10.0, "discriminator": 100.0}
    # D: G + 3 (reals) + 3 (fakes) passes; G: three of its own and two of D. A penalty is six passes.
    assert work.of_step(1, 2, {}) == 2 * (10 + 600) + (30 + 200)
    assert work.of_step(3, 1, {"discriminator": 0.5}) == 3 * (10 + 600 + 300 + 30 + 200)
