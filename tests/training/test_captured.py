"""Phases as CUDA graphs, as far as that can be seen without a GPU: a recorder that repeats the work in place of a
graph. `tests/gpu` has the rest."""

import weakref
from contextlib import contextmanager, nullcontext

import pytest
import torch
from attrs import evolve

from gancore import GancoreError
from gancore.training.captured import WARM_UP, Captured
from gancore.training.cuda_graphs import CudaRecorder
from gancore.training.player import Regularizer
from tests.training.test_compiled import CASES, run_of


class Repeating:
    """What it records is done anew at every replay, and left in the same tensors."""

    def __init__(self):
        self.recorded, self.replayed = 0, 0

    def aside(self):
        return nullcontext()

    def record(self, work, streams):
        self.recorded += 1
        recorder = self
        left = []

        class Graph:
            def replay(self):
                recorder.replayed += 1
                with torch.enable_grad():
                    found = work()
                if not left:
                    left.extend(value.detach() for value in found)
                for kept, value in zip(left, found, strict=True):
                    kept.copy_(value.detach())

        return Graph(), left

    def default_stream(self):
        return torch.default_generator

    def recover(self, streams):
        pass


def captured(run, recorder):
    run.game = evolve(run.game, take=Captured(recorder))
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
def test_replayed_phases_measure_what_plain_ones_do(tmp_path, case):
    plain, replayed = (run_of(tmp_path, case, "health.every=1", "train.held_out=16") for _ in range(2))
    recorder = Repeating()
    captured(replayed, recorder)
    plain.advance(40)
    replayed.advance(40)
    assert recorder.recorded >= 4  # with what is measured rarely, and without
    found, expected = (run.checkup.probe.fetched() for run in (replayed, plain))
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
    class Forgetting(Repeating):
        def record(self, work, streams):
            class Graph:
                def replay(self):
                    pass

            return Graph(), []

    plain, run = (run_of(tmp_path, "mlp, wgan-gp", "health.probe=false") for _ in range(2))
    said = captured(run, Forgetting())
    plain.advance(5)
    run.advance(5)
    assert sorted(words.partition(" would")[0] for words in said) == [
        "discriminator's phase is not captured: what it changes",
        "generator's phase is not captured: what it changes",
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
    recorder = Breaking()
    recorder.run = run
    said = captured(run, recorder)
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
    """Gradients that are never the same twice, as atomic additions make them; the optimizer goes by their signs."""

    def __init__(self, by):
        self.by, self.rng = by, torch.Generator().manual_seed(0)

    def gradients_ready(self, parameters, context):
        for parameter in parameters:
            parameter.grad += self.by * torch.randn(parameter.shape, generator=self.rng)
        return {}


def test_a_phase_that_is_never_the_same_twice_is_captured_all_the_same(tmp_path):
    run = run_of(tmp_path, "mlp, autoclip", "health.probe=false")
    D = run.game.discriminator
    D.regularizers = (Regularizer("trembling", Trembling(1.0), D.regularizers[0].context),)
    recorder = Repeating()
    assert captured(run, recorder) == []
    run.advance(5)
    assert recorder.replayed > recorder.recorded == 2
