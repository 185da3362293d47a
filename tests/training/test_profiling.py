"""`gancore.training.profiling`: what is labelled, what is left behind, and that nobody trains differently for it."""

import errno
import gzip
import inspect
import json
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import define, evolve, field

from gancore.errors import NonFiniteError
from gancore.health.taps import PhaseProbe
from gancore.training.compiled import Compiled
from gancore.training.phases import EAGER, PLAINLY
from gancore.training.profiling import Profiler
from gancore.training.recorder import remember

EXPERIMENTS = ("mlp_adam", "dcgan_lazy", "wgan_gp")
# Everything that a step can be made of.
RICH = """
[[regularizer]]
name = "gradient-clipping"
by = "norm"
limit = 1.0
[[regularizer]]
name = "weight-clipping"
limit = 1.0
[[regularizer]]
name = "diffaugment"
"""


@define(eq=False)
class Shown:
    """What was shown, with the spans of the trace: names of what was called in a step, and how often."""

    records: list[Any] = field(factory=list)
    spans: Counter[str] = field(factory=Counter)

    def __call__(self, recorded: Any) -> None:
        self.records.append(recorded)
        found = json.loads(recorded.events.read_text())["traceEvents"]
        self.spans = Counter(event["name"] for event in found if event.get("cat") == "user_annotation")


@define(eq=False)
class Notebook:
    """A callback that writes down what is said, and may stop the run."""

    every: int = 1
    stop_at: int = 0
    said: list[str] = field(factory=list)

    def stepped(self, run: Any) -> None:
        if run.step == self.stop_at:
            run.stop()

    def noticed(self, run: Any, notice: str) -> None:
        self.said.append(notice)


@define(eq=False)
class Spread:
    """A metric with a state."""

    every: int = 5
    samples: int = 16
    calls: int = 0

    def evaluate(self, real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
        self.calls += 1
        return {"std": float(fake.std())}

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def build(assemble: Any, tmp_path: Path, notebook: Notebook) -> Any:
    """Assemble a run with a folder of its own, whose only callback is the notebook; with `show`, one to be profiled."""
    numbers = count()

    def build(text: str, *overrides: str, show: Any = None) -> Any:
        run = assemble(text, "train.steps=33", *overrides, out=tmp_path / f"run-{next(numbers)}")
        run.observers.callbacks = {"notebook": notebook}
        run.metrics = {"spread": Spread()}
        if show is not None:
            Profiler(show).join(run)
        return run

    return build


def same(a: Any, b: Any) -> bool:
    """To the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


# ---------------------------------------------------------------------------------------------- nothing is changed


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_profiled_run_ends_in_the_same_state(
    name: str, build: Any, experiments: dict[str, str], shown: Shown
) -> None:
    probed = ("health.every=5", "train.held_out=2", "train.steps=44")
    profiled, plain = build(experiments[name], *probed, show=shown), build(experiments[name], *probed)
    assert profiled.train() == plain.train() == "finished"
    assert same(profiled.state_dict(), plain.state_dict())
    assert len(shown.records) == 1


def test_a_state_taken_while_it_is_profiled_is_the_same(build: Any, experiments: dict[str, str], shown: Shown) -> None:
    """Of everything that has one: what stands in for a loss or a metric while it is profiled included."""
    states = []
    for show in (shown, None):
        run = build(experiments["wgan_gp"] + RICH, "health.every=5", show=show)
        run.observers.callbacks = {**run.callbacks, "taker": Taker(states)}
        run.train()
    (during, labelled), (plain, not_labelled) = states
    assert labelled
    assert not not_labelled
    assert same(during, plain)


@define(eq=False)
class Taker:
    states: list[tuple[dict[str, Any], bool]]
    every: int = 20

    def stepped(self, run: Any) -> None:
        if run.step == 20:
            inspect.getattr_static(run.metrics["spread"], "state_dict")  # isinstance() asks so from Python 3.12 on
            self.states.append((remember(run), hasattr(run.ema, "source")))


def test_afterwards_nothing_of_it_is_left_in_the_run(build: Any, experiments: dict[str, str], shown: Shown) -> None:
    run = build(experiments["wgan_gp"] + RICH, show=shown)
    parts = ("game", "checkup", "ema", "numbers", "metrics", "observers")
    before = [getattr(run, part) for part in parts]
    run.train()
    assert all(getattr(run, part) is other for part, other in zip(parts, before, strict=True))
    assert list(run.callbacks) == ["notebook"]


def test_a_run_that_fails_while_it_is_profiled_fails_the_same(
    build: Any, experiments: dict[str, str], shown: Shown
) -> None:
    """The flight recorder takes the steps again, through what stands in for their parts."""
    words = []
    for show in (shown, None):
        run = build(experiments["mlp_adam"], "optimizer.lr=1e30", "train.steps=12", "log.every=6", show=show)
        with pytest.raises(NonFiniteError) as raised:
            run.train()
        words.append(str(raised.value).replace(str(run.folder), "FOLDER"))
        assert list(run.callbacks) == ["notebook"]
    assert words[0] == words[1]
    assert "First, in step " in words[0]
    assert shown.records == []


# --------------------------------------------------------------------------------------------------- what is labelled


def test_every_part_of_a_step_has_its_label(build: Any, experiments: dict[str, str], shown: Shown) -> None:
    build(experiments["wgan_gp"] + RICH, "train.n_critic=2", "log.every=10", "health.every=1", show=shown).train()
    (recorded,) = shown.records
    assert recorded.parts == {
        "data", "latents", "forward of G", "forward of D", "loss", "backward", "optimizer", "schedule", "EMA", "log",
        "probe", "doctor", "inputs diffaugment", "penalty wgan-gp", "gradients gradient-clipping",
        "parameters weight-clipping", "metric spread", "callback notebook",
    }  # fmt: skip
    assert recorded.parts <= set(shown.spans)
    steps, phases = 20, 3 * 20
    counted = {name: shown.spans[name] for name in (
        "phase of D", "phase of G", "data", "latents", "backward", "loss", "optimizer", "EMA", "penalty wgan-gp",
        "forward of G", "metric spread", "log",
    )}  # fmt: skip
    assert counted == {
        "phase of D": 2 * steps, "phase of G": steps, "data": 2 * steps, "latents": phases, "backward": phases,
        "loss": phases, "optimizer": phases, "EMA": steps, "penalty wgan-gp": 2 * steps, "forward of G": phases,
        "metric spread": 4, "log": 2,
    }  # fmt: skip


def test_steps_have_their_numbers(build: Any, experiments: dict[str, str], shown: Shown) -> None:
    build(experiments["mlp_adam"], show=shown).train()
    steps = [name for name in shown.spans if name.startswith("ProfilerStep#")]
    assert sorted(steps) == [f"ProfilerStep#{step}" for step in range(12, 32)]


def test_a_run_that_is_not_probed_has_the_same_labels(build: Any, experiments: dict[str, str], shown: Shown) -> None:
    build(experiments["mlp_adam"], "health.probe=false", show=shown).train()
    names = ("forward of G", "forward of D", "backward", "phase of D", "phase of G")
    assert [shown.spans[name] for name in names] == [40, 40, 40, 20, 20]
    assert "probe" not in shown.spans


class Graph(Compiled):
    """As a compiled phase looks from outside."""

    given: list[tuple[Any, Any]]

    def __call__(self, game: Any, role: Any, drawn: Any, index: int, numbers: Any, probe: Any) -> None:
        self.given.append((game, type(probe)))
        EAGER(game, role, drawn, index, numbers, probe)


@define(eq=False)
class Replay:
    """As a captured phase looks from outside."""

    given: list[tuple[Any, Any]] = field(factory=list)

    def __call__(self, game: Any, *others: Any) -> None:
        self.given.append((game, type(others[-1])))
        PLAINLY(game, *others)

    def places(self, role: Any) -> Any:
        return PLAINLY.places(role)

    def heard_by(self, say: Any) -> None: ...


def test_a_compiled_phase_has_one_label_and_is_given_the_game_as_it_was(
    build: Any, experiments: dict[str, str], shown: Shown
) -> None:
    run = build(experiments["mlp_adam"], "health.every=1", show=shown)
    graph = Graph(run.clock)
    graph.given = []
    run.game = game = evolve(run.game, differentiate=graph)
    run.train()
    assert shown.spans["compiled phase"] == 40
    assert {"backward", "loss", "forward of G"} & set(shown.spans) == set()
    assert shown.spans["optimizer"] == 40
    assert all(given is game for given, _ in graph.given)
    assert {kind for _, kind in graph.given} == {PhaseProbe}


def test_so_has_a_captured_one(build: Any, experiments: dict[str, str], shown: Shown) -> None:
    run = build(experiments["mlp_adam"], "health.every=1", show=shown)
    run.game = game = evolve(run.game, take=Replay())
    run.train()
    assert shown.spans["captured phase"] == 40
    assert {"backward", "loss", "optimizer"} & set(shown.spans) == set()
    assert (shown.spans["data"], shown.spans["latents"], shown.spans["EMA"]) == (20, 40, 20)
    assert all(given is game for given, _ in game.take.given)
    assert {kind for _, kind in game.take.given} == {PhaseProbe}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's own, while it compiles
@pytest.mark.parametrize("how", ["networks", "phase"])
def test_what_is_really_compiled_trains_the_same_while_it_is_profiled(
    how: str, build: Any, experiments: dict[str, str], shown: Shown
) -> None:
    compiled = f"train.compile={how}", "health.every=5"
    profiled, plain = (build(experiments["wgan_gp"], *compiled, show=show) for show in (shown, None))
    assert profiled.train() == plain.train() == "finished"
    assert same(profiled.state_dict(), plain.state_dict())
    assert ("compiled phase" in shown.spans) == (how == "phase")
    assert ("penalty wgan-gp" in shown.spans) == (how == "networks")
    assert "forward of D" not in shown.spans


# ------------------------------------------------------------------------------------------------- what is profiled


@pytest.mark.parametrize(
    ("steps", "first", "last"),
    [(1, 1, 1), (2, 1, 2), (3, 2, 3), (12, 5, 12), (33, 12, 31), (93, 32, 51), (120, 41, 60), (400, 83, 102)],
)
def test_a_short_run_is_profiled_as_far_as_it_goes(
    steps: int, first: int, last: int, build: Any, experiments: dict[str, str], shown: Shown
) -> None:
    run = build(experiments["mlp_adam"], f"train.steps={steps}", show=shown)
    assert run.train() == "finished"
    (recorded,) = shown.records
    assert (recorded.first, recorded.last) == (first, last)
    assert (recorded.plain is None) == (steps == last), "nothing came after them"
    assert recorded.trace == run.folder / "profile" / f"steps-{first}-{last}.pt.trace.json.gz"


def test_the_trace_that_stays_is_the_one_that_was_shown(build: Any, experiments: dict[str, str], shown: Shown) -> None:
    run = build(experiments["mlp_adam"], show=shown)
    run.train()
    (recorded,) = shown.records
    assert not recorded.events.exists()
    assert [path.name for path in (run.folder / "profile").iterdir()] == [recorded.trace.name]
    with gzip.open(recorded.trace) as file:
        spans = [e["name"] for e in json.load(file)["traceEvents"] if e.get("cat") == "user_annotation"]
    assert Counter(spans) == shown.spans


def test_a_run_that_is_stopped_meanwhile_shows_what_there_is(
    build: Any, experiments: dict[str, str], shown: Shown, notebook: Notebook
) -> None:
    notebook.stop_at = 15
    assert build(experiments["mlp_adam"], show=shown).train() == "interrupted"
    (recorded,) = shown.records
    assert (recorded.first, recorded.last, recorded.plain) == (12, 15, None)


@pytest.mark.parametrize("stop_at", [4, 11])
def test_a_run_that_is_stopped_before_says_that_there_is_nothing(
    stop_at: int, build: Any, experiments: dict[str, str], shown: Shown, notebook: Notebook
) -> None:
    notebook.stop_at = stop_at
    run = build(experiments["mlp_adam"], show=shown)
    assert run.train() == "interrupted"
    assert notebook.said[-1] == "nothing was profiled: the run has ended before step 12"
    assert shown.records == []
    assert not (run.folder / "profile").exists()


def test_one_process_can_profile_one_run_after_the_other(build: Any, experiments: dict[str, str], shown: Shown) -> None:
    for _ in range(2):
        build(experiments["mlp_adam"], show=shown).train()
    assert len(shown.records) == 2


# ------------------------------------------------------------------------------------------------- what may go wrong


def test_a_full_disk_costs_the_trace_and_not_the_run(
    build: Any, experiments: dict[str, str], shown: Shown, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any, *__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = build(experiments["mlp_adam"], show=shown)
    with monkeypatch.context() as patched:
        patched.setattr(gzip.GzipFile, "write", full)
        assert run.train() == "finished"
    assert "the trace cannot be written: No space left on device" in notebook.said
    assert shown.records[0].trace is None
    assert list((run.folder / "profile").iterdir()) == []


def test_a_trace_that_is_not_whole_is_not_kept(build: Any, experiments: dict[str, str], notebook: Notebook) -> None:
    def cannot_read(_: Any) -> None:
        raise ValueError("Unterminated string")

    run = build(experiments["mlp_adam"], show=cannot_read)
    assert run.train() == "finished"
    (said,) = [words for words in notebook.said if "profile" in words]
    assert said.startswith("the profile is lost: it is not whole; is ")
    assert list((run.folder / "profile").iterdir()) == []


def test_without_a_temporary_folder_there_is_no_profile(
    build: Any, experiments: dict[str, str], shown: Shown, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    assert build(experiments["mlp_adam"], show=shown).train() == "finished"
    assert "the profile is lost: No such file or directory" in notebook.said
    assert shown.records == []
