"""Phases as CUDA graphs, as far as that can be seen without a GPU: a recorder that repeats the work in place of a
graph. `tests/gpu` has the rest."""

import copy
import weakref
from contextlib import contextmanager, nullcontext

import pytest
import torch
from attrs import evolve

from gancore import GancoreError
from gancore.training.captured import WARM_UP, Captured
from gancore.training.compiled import Compiled, operator_by_operator
from gancore.training.cuda_graphs import CudaRecorder
from gancore.training.player import Regularizer
from tests.training.test_compiled import CASES, run_of


class Repeating:
    """What it records is done anew at every replay, with the learning rates that stood there as it was recorded, and
    left in the same tensors."""

    def __init__(self):
        self.recorded, self.replayed, self.run = 0, 0, None

    def aside(self):
        return nullcontext()

    def record(self, work, streams):
        self.recorded += 1
        recorder = self
        left = []
        groups = [g for p in (self.run.game.generator, self.run.game.discriminator) for g in p.optimizer.param_groups]
        rates = [group["lr"] for group in groups]

        class Graph:
            def replay(self):
                recorder.replayed += 1
                before = [group["lr"] for group in groups]
                for group, rate in zip(groups, rates, strict=True):
                    group["lr"] = rate
                with torch.enable_grad():
                    found = work()
                for group, rate in zip(groups, before, strict=True):
                    group["lr"] = rate
                if not left:
                    left.extend(value.detach() for value in found)
                for kept, value in zip(left, found, strict=True):
                    kept.copy_(value.detach())

        return Graph(), left

    def default_stream(self):
        return torch.default_generator

    def recover(self, streams):
        pass


class DoingNothing(Repeating):
    """Its graphs leave everything as it is."""

    def record(self, work, streams):
        graph, left = super().record(work, streams)
        graph.replay = lambda: None
        return graph, left


def captured(run, recorder):
    run.game, recorder.run = evolve(run.game, take=Captured(recorder)), run
    said = []
    run.game.take.heard_by(said.append)
    return said


def weights(run):
    return [value for player in (run.game.generator, run.game.discriminator)
            for value in player.network.state_dict().values()]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_replayed_run_is_the_plain_one(tmp_path, case):
    plain, replayed = (run_of(tmp_path, case, "health.probe=false", "log.every=4") for _ in range(2))
    recorder = Repeating()
    assert not captured(replayed, recorder)
    plain.advance(9)
    replayed.advance(9)
    assert recorder.recorded >= 2
    assert recorder.replayed > recorder.recorded  # one replay of each is for comparison
    for a, b in zip(weights(plain), weights(replayed), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)  # its learning rate is a float32
    for name, state in plain.state_dict()["streams"].items():
        assert torch.equal(state, replayed.state_dict()["streams"][name]), name
    assert plain.look().keys() == replayed.look().keys()


@pytest.mark.parametrize("case", CASES)
def test_a_replayed_run_is_the_launched_one_to_the_bit(tmp_path, case, monkeypatch):
    launched, replayed = (run_of(tmp_path, case, "health.probe=false", "log.every=4") for _ in range(2))
    for run in (launched, replayed):
        assert not captured(run, Repeating())
    with monkeypatch.context() as patched:
        patched.setattr("gancore.training.captured.WARM_UP", 10**9)
        launched.advance(9)
    replayed.advance(9)
    assert all(torch.equal(a, b) for a, b in zip(weights(launched), weights(replayed), strict=True))
    assert launched.look() == replayed.look()


def test_graphs_within_graphs_leave_the_numbers_that_plain_phases_do(tmp_path):
    """Phases that are compiled, and captured."""
    plain, both = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false", "log.every=3") for _ in range(2))
    recorder = Repeating()
    said = captured(both, recorder)
    both.game = evolve(both.game, differentiate=Compiled(both.clock, operator_by_operator))
    for _ in range(5):
        plain.advance(3)
        both.advance(3)
        ours, theirs = both.look(), plain.look()
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    assert not said
    assert recorder.recorded >= 3  # D's, D's measured, G's


def test_a_run_that_warms_up_again_sums_up_the_same_rows(tmp_path):
    """Where there are so many numbers that they are summed up on the way, it matters which."""
    whole, resumed = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false", "log.every=1000") for _ in range(2))
    for run in (whole, resumed):
        captured(run, Repeating())
        run.numbers.COMPACT_AT = 5
    whole.advance(4)
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    whole.advance(7)
    resumed.advance(7)
    ours, theirs = (
        [(kept["names"], len(kept["values"])) for kept in run.numbers.state_dict()] for run in (whole, resumed)
    )
    assert ours == theirs
    assert whole.look() == resumed.look()


@pytest.mark.parametrize("case", CASES)
def test_replayed_phases_measure_what_plain_ones_do(tmp_path, case):
    plain, replayed = (run_of(tmp_path, case, "health.every=1", "train.held_out=16") for _ in range(2))
    recorder = Repeating()
    captured(replayed, recorder)
    plain.advance(40)
    replayed.advance(40)
    assert recorder.recorded >= 4  # with what is measured rarely, and without
    found, expected = (run.checkup.probe.fetched() for run in (replayed, plain))
    assert ("penalty/discriminator" in found[-1].numbers) == (plain.game.discriminator.slowest_penalty > 0)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.numbers == pytest.approx(theirs.numbers, rel=2e-2, abs=2e-3), ours.step
        assert ours.layers.keys() == theirs.layers.keys()
        for role, layers in theirs.layers.items():
            for name, signal in layers.items():
                assert ours.layers[role][name] == pytest.approx(signal, rel=2e-2, abs=1e-6), name


def test_each_kind_of_phase_has_a_graph_of_its_own(tmp_path):
    run = run_of(tmp_path, "mlp, relativistic, r1 and r2, lazy", "health.probe=false", "log.every=1000")
    recorder = Repeating()
    captured(run, recorder)
    run.advance(2 * WARM_UP)
    assert recorder.recorded == 1  # G's: of D's phases with and without r1 there were two each
    run.advance(2)
    assert recorder.recorded == 3


def test_a_graph_that_changes_something_else_is_not_used(tmp_path):
    plain, run = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false") for _ in range(2))
    said = captured(run, DoingNothing())
    plain.advance(5)
    run.advance(5)
    assert sorted(said) == [
        "discriminator's phase is not captured: what it changes would differ by 1",
        "generator's phase is not captured: what it changes would differ by 1",
    ]
    for a, b in zip(weights(plain), weights(run), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_what_cannot_be_captured_runs_as_it_is_and_the_user_is_told(tmp_path):
    class Refusing(Repeating):
        def record(self, work, streams):
            work()
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    plain, run = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false") for _ in range(2))
    said = captured(run, Refusing())
    plain.advance(5)
    run.advance(5)
    assert said == [
        f"{role}'s phase is not captured: operation not permitted when stream is capturing"
        for role in ("discriminator", "generator")
    ]
    for a, b in zip(weights(plain), weights(run), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_its_state_is_one_that_a_plain_run_goes_on_from(tmp_path):
    plain, first, second = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false") for _ in range(3))
    captured(first, Repeating())
    plain.advance(8)
    first.advance(5)
    second.load_state_dict(first.state_dict())
    second.advance(3)
    for a, b in zip(weights(plain), weights(second), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)
    assert all(isinstance(group["lr"], float) for group in second.game.generator.optimizer.param_groups)


def test_demanded_where_there_is_no_gpu_it_is_refused(tmp_path):
    with pytest.raises(GancoreError, match=r'train.capture = "on" needs one CUDA device'):
        run_of(tmp_path, "mlp, wgan-gp", "train.capture=on")


class CountsItsSteps(torch.optim.SGD):
    """An optimizer that keeps its count in Python, as many do."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["count"] = group.get("count", 0) + 1
        super().step(closure)


def test_what_an_optimizer_keeps_in_python_is_noticed(tmp_path):
    run = run_of(tmp_path, "mlp, wgan-gp", "health.probe=false")
    D = run.game.discriminator
    D.optimizer = CountsItsSteps(D.parameters, lr=1e-3)
    D.schedule = torch.optim.lr_scheduler.LambdaLR(D.optimizer, lambda _: 1.0)
    said = captured(run, Repeating())
    run.advance(6)
    assert said == [
        "discriminator's phase is not captured: the discriminator's optimizer changed in Python in a phase, which a "
        "graph would freeze"
    ]
    assert D.optimizer.param_groups[0]["count"] == 6


def test_a_graph_that_makes_a_nan_is_not_used(tmp_path):
    class Breaking(Repeating):
        def record(self, work, streams):
            weight = self.run.game.generator.parameters[0]

            class Graph:
                def replay(self):
                    with torch.no_grad():
                        weight.fill_(torch.nan)

            return Graph(), []

    run = run_of(tmp_path, "mlp, wgan-gp", "health.probe=false")
    said = captured(run, Breaking())
    run.advance(4)
    assert all("would differ by nan" in words for words in said)
    assert len(said) == 2
    run.look()


def test_a_state_that_is_loaded_makes_graphs_anew(tmp_path):
    import copy

    plain, run = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false") for _ in range(2))
    recorder = Repeating()
    captured(run, recorder)
    for each in (plain, run):
        each.advance(5)
        state = copy.deepcopy(each.state_dict())
        each.advance(5)
        each.load_state_dict(state)
        each.advance(5)
    assert recorder.recorded >= 4
    for a, b in zip(weights(plain), weights(run), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


def test_the_attempt_to_capture_leaves_all_random_streams_alone(tmp_path):
    run = run_of(tmp_path, "mlp, wgan-gp", "health.probe=false")
    other = run_of(tmp_path, "mlp, wgan-gp", "health.probe=false")
    captured(run, Repeating())
    run.advance(5)
    other.advance(5)
    ours, theirs = run.state_dict(), other.state_dict()
    assert torch.equal(ours["globals"]["torch"], theirs["globals"]["torch"])
    assert torch.equal(ours["globals"]["python"]["words"], theirs["globals"]["python"]["words"])


class Cuda:
    """What torch has for CUDA graphs, as far as memory goes: a pool ends with the last of its graphs."""

    def __init__(self):
        self.graphs, self.pools, self.ended = weakref.WeakKeyDictionary(), 0, set()
        cuda = self

        class Graph:
            def register_generator_state(self, stream):
                pass

            def __del__(self):
                pool = cuda.graphs.pop(self, None)
                if pool not in cuda.graphs.values():
                    cuda.ended.add(pool)

        self.CUDAGraph = Graph

    def graph_pool_handle(self):
        self.pools += 1
        return self.pools

    @contextmanager
    def graph(self, graph, *, pool, **_):
        assert pool not in self.ended, "use_count > 0"
        yield
        self.graphs[graph] = pool


def test_graphs_share_a_pool_and_those_after_the_last_have_a_new_one(monkeypatch):
    cuda = Cuda()
    for name in ("CUDAGraph", "graph_pool_handle", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(CudaRecorder, "aside", lambda recorder: nullcontext())
    recorder = CudaRecorder(torch.device("cuda"))
    first, second = (recorder.record(list, ())[0] for _ in range(2))
    assert set(cuda.graphs.values()) == {1}
    del first
    third, _ = recorder.record(list, ())
    assert (cuda.graphs[second], cuda.graphs[third]) == (1, 1)
    del second, third
    fourth, _ = recorder.record(list, ())
    assert cuda.graphs[fourth] == 2


class Trembling:
    """The gradient of the last parameter is never the same twice, as atomic additions make it where it is near 0; the
    optimizer goes by its sign."""

    def __init__(self):
        self.rng = torch.Generator().manual_seed(0)

    def gradients_ready(self, parameters, context):
        parameters[-1].grad += torch.randn(parameters[-1].shape, generator=self.rng)
        return {}


class Previous:
    """A penalty on this batch and the one before."""

    every, last = 1, None

    def penalty(self, phase, context):
        last, self.last = self.last, phase.real
        return (phase.discriminator(phase.real if last is None else last) - phase.real_score).square().mean()


class InPlace:
    """D is shown what is done to the very tensor that comes."""

    def discriminator_inputs(self, x, context):
        return x * 0.5 if x.requires_grad else x.mul_(0.5)


class Idiom:
    """R1 as it is often written."""

    every = 1

    def penalty(self, phase, context):
        real = phase.real.requires_grad_()
        (slope,) = torch.autograd.grad(phase.discriminator(real).sum(), real, create_graph=True)
        return slope.square().sum()


def with_a_regularizer(run, component):
    D = run.game.discriminator
    D.regularizers = (Regularizer("mine", component, D.regularizers[0].context),)
    return run


@pytest.mark.parametrize("recorder", [Repeating, DoingNothing])
def test_a_phase_that_is_never_the_same_twice_is_captured_all_the_same(tmp_path, recorder):
    """But not by a graph that does nothing at all."""
    run = with_a_regularizer(run_of(tmp_path, "mlp, autoclip", "health.probe=false"), Trembling())
    said = captured(run, recorder())
    run.advance(5)
    assert any(words.startswith("discriminator") for words in said) is (recorder is DoingNothing)


@pytest.mark.parametrize("component", [Previous, InPlace, Idiom])
def test_what_a_component_does_with_its_batch_is_its_own_affair(tmp_path, component):
    plain, run = (
        with_a_regularizer(run_of(tmp_path, "mlp, autoclip", "health.probe=false"), component()) for _ in range(2)
    )
    said = captured(run, Repeating())
    plain.advance(8)
    run.advance(8)
    kept = ["discriminator's phase is not captured: 'mine' changed in Python in a phase, which a graph would freeze"]
    assert said == (kept if component is Previous else [])
    for a, b in zip(weights(plain), weights(run), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_schedule_reaches_into_graphs(tmp_path, as_tensor):
    """Also where the optimizer has its rate as a tensor from the start."""
    plain, run = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false") for _ in range(2))
    for each in (plain, run):
        G = each.game.generator
        G.optimizer = torch.optim.SGD(G.parameters, lr=torch.tensor(0.1) if as_tensor else 0.1, foreach=False)
        G.schedule = torch.optim.lr_scheduler.LambdaLR(G.optimizer, lambda t: 1.0 if t < 5 else 0.0)
    assert not captured(run, Repeating())
    plain.advance(9)
    run.advance(9)
    for a, b in zip(weights(plain), weights(run), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)
    assert isinstance(run.game.generator.optimizer.param_groups[0]["lr"], torch.Tensor) is as_tensor
