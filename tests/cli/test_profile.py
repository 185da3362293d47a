"""`gancore train --profile`: what a trace says about a step, and what the command shows and leaves."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import gancore as gancore_package
from gancore.cli.profile import Event, events_of, profile_of
from gancore.training.profiling import Profiler

Gancore = Any
ROOT = Path(__file__).parents[2]
NAMES = frozenset({"data", "loss", "backward", "optimizer", "callback stats", "compiled phase"})


def span(name: str, start: float, end: float) -> Event:
    return Event("user_annotation", name, start, end)


def operator(name: str, start: float, end: float, number: int = 0, thread: int = 0) -> Event:
    return Event("cpu_op", name, start, end, (0, thread), operator=number)


def launch(start: float, correlation: int) -> Event:
    return Event("cuda_runtime", "cudaLaunchKernel", start, start + 5, correlation=correlation)


def kernel(name: str, start: float, end: float, correlation: int, number: int = 0) -> Event:
    return Event("kernel", name, start, end, (1, 7), correlation, number)


# A step of 1000 us: D's phase from 0 to 600, G's from 600 to 900, a callback.
STEP = [
    span("ProfilerStep#12", 0, 1000),
    span("phase of D", 0, 600),
    span("data", 10, 60),
    span("loss", 60, 160),
    span("backward", 160, 560),
    span("phase of G", 600, 900),
    span("loss", 600, 700),
    span("backward", 700, 800),
    span("callback stats", 950, 1000),
]


# ---------------------------------------------------------------------------------------------------------- the host


def test_parts_are_counted_by_phase_and_the_rest_is_what_none_covers() -> None:
    profile = profile_of(STEP, NAMES, 1)
    assert profile.step == 1.0
    assert profile.busy is None
    assert {name: part.host for name, part in profile.parts.items()} == {
        "data": {"phase of D": 0.05},
        "loss": {"phase of D": pytest.approx(0.1), "phase of G": pytest.approx(0.1)},
        "backward": {"phase of D": pytest.approx(0.4), "phase of G": pytest.approx(0.1)},
        "callback stats": {"": 0.05},
        "rest": {"phase of D": pytest.approx(0.05), "phase of G": pytest.approx(0.1), "": pytest.approx(0.05)},
    }


def test_shares_are_of_the_step_and_sum_to_one_with_the_rest_last() -> None:
    profile = profile_of(STEP, NAMES, 1)
    assert list(profile.times) == ["backward", "loss", "data", "callback stats", "rest"]
    assert [profile.share(time) for time in profile.times.values()] == pytest.approx([0.5, 0.2, 0.05, 0.05, 0.2])


def test_of_several_steps_it_is_the_mean() -> None:
    later = [event._replace(start=event.start + 1000, end=event.end + 1000) for event in STEP]
    both, one = profile_of([*STEP, *later], NAMES, 1), profile_of(STEP, NAMES, 1)
    assert both.step == one.step
    assert both.times == pytest.approx(one.times)


def test_a_part_within_another_one_counts_for_the_outer() -> None:
    profile = profile_of([*STEP, span("loss", 955, 990)], NAMES, 1)
    assert profile.times["callback stats"] == pytest.approx(0.05)
    assert profile.times["loss"] == pytest.approx(0.2)


def test_spans_of_others_and_what_is_outside_the_steps_do_not_count() -> None:
    others = [span("theirs", 100, 500), span("data", -50, -10), span("data", 1000, 1100)]
    assert profile_of([*others, *STEP], NAMES, 1) == profile_of(STEP, NAMES, 1)


def test_a_phase_without_a_backward_was_compiled() -> None:
    step = [span("ProfilerStep#12", 0, 100), span("phase of D", 0, 60), span("data", 0, 20), span("phase of G", 60, 90)]
    assert profile_of(step, NAMES, 1).times == pytest.approx({"compiled phase": 0.07, "data": 0.02, "rest": 0.01})


def test_around_a_compiled_call_is_rest() -> None:
    step = [span("ProfilerStep#12", 0, 100), span("phase of D", 0, 100), span("compiled phase", 20, 80)]
    assert profile_of(step, NAMES, 1).times == pytest.approx({"compiled phase": 0.06, "rest": 0.04})


def test_without_any_label_all_is_rest() -> None:
    profile = profile_of([operator("aten::mm", 0, 40), operator("aten::add", 60, 100)], NAMES, 2)
    assert (profile.step, profile.times) == (0.05, {"rest": 0.05})


def test_operators_do_not_count_what_they_call_and_threads_are_apart() -> None:
    operators = [
        operator("aten::linear", 100, 200),
        operator("aten::addmm", 110, 180),
        operator("aten::mm", 120, 160),
        operator("aten::addmm", 200, 230),
        operator("aten::mm", 130, 150, thread=1),
        operator("aten::mm", 5000, 6000),
    ]
    profile = profile_of([*STEP, *operators], NAMES, 1)
    assert profile.operators == pytest.approx({"aten::linear": 0.03, "aten::addmm": 0.06, "aten::mm": 0.06})


# -------------------------------------------------------------------------------------------------------- the device


def test_the_device_works_for_the_part_that_has_launched_it() -> None:
    """Also where it does so later, and where another thread launches, as autograd's does on a GPU."""
    device = [
        launch(70, 1), kernel("gemm", 300, 500, 1),
        launch(200, 2)._replace(thread=(0, 9)), kernel("gemm", 500, 800, 2),
        launch(820, 3), kernel("gemm", 820, 920, 3),
        launch(930, 4), kernel("copy", 930, 1030, 4),
        launch(1200, 5), kernel("late", 1200, 1300, 5),
    ]  # fmt: skip
    profile = profile_of([*STEP, *device], NAMES, 1)
    assert {name: part.device for name, part in profile.parts.items() if part.device} == {
        "loss": {"phase of D": pytest.approx(0.2)},
        "backward": {"phase of D": pytest.approx(0.3)},
        "rest": {"phase of G": pytest.approx(0.1), "": pytest.approx(0.1)},
    }
    assert profile.times["loss"] == pytest.approx(0.2)
    shares = [profile.share(time) for time in profile.times.values()]
    assert sum(shares) == pytest.approx(1.0)
    assert profile.share(profile.times["backward"]) == pytest.approx(0.3 / 0.7)


def test_what_runs_at_the_same_time_keeps_the_device_busy_once() -> None:
    device = [launch(70, 1), launch(80, 2), kernel("a", 100, 300, 1), kernel("b", 200, 400, 2)]
    assert profile_of([*STEP, *device], NAMES, 1).busy == pytest.approx(0.3)


def test_a_graph_counts_for_its_one_launch() -> None:
    step = [span("ProfilerStep#12", 0, 100), span("phase of D", 0, 80), span("data", 0, 20)]
    graph = [launch(30, 1), *(kernel(f"node {i}", 40 + 10 * i, 45 + 10 * i, 1) for i in range(4))]
    profile = profile_of([*step, *graph], NAMES, 1)
    assert profile.times == pytest.approx({"compiled phase": 0.02, "data": 0.0, "rest": 0.0})
    assert profile.operators == pytest.approx({f"node {i}": 0.005 for i in range(4)})


def test_operators_have_the_device_time_that_they_have_asked_for() -> None:
    device = [
        operator("aten::mm", 100, 110, number=41),
        launch(105, 1), kernel("sm90_gemm", 200, 300, 1, number=41),
        launch(112, 2), kernel("elementwise", 300, 310, 2),
    ]  # fmt: skip
    profile = profile_of([*STEP, *device], NAMES, 1)
    assert profile.operators == pytest.approx({"aten::mm": 0.1, "elementwise": 0.01})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("capture", ["off", "auto"])
def test_on_a_gpu_shares_are_of_what_the_device_does(capture: str, tmp_path: Path) -> None:
    found: list[tuple[Any, Any]] = []

    def keep(recorded: Any) -> None:
        found.append((recorded, profile_of(events_of(recorded.events), recorded.parts, 0)))

    states = []
    for folder, profiler in (("profiled", Profiler(keep)), ("plain", None)):
        overrides = ["train.device=cuda", "train.steps=93", "callback=[]", f"train.capture={capture}"]
        run = gancore_package.load(ROOT / "examples" / "digits.toml", overrides).assemble(out=tmp_path / folder)
        if profiler is not None:
            profiler.join(run)
        run.train()
        states.append([parameter.clone() for parameter in run.game.generator.network.parameters()])
    assert all(map(torch.equal, *states))
    ((recorded, profile),) = found
    assert (recorded.first, recorded.last) == (32, 51)
    assert 0 < profile.busy <= 1
    assert sum(profile.share(time) for time in profile.times.values()) == pytest.approx(1)
    whole = {"captured phase"} if capture == "auto" else {"backward", "forward of D", "optimizer"}
    assert all(profile.times[name] > 0 for name in whole)
    assert profile.share(profile.times["rest"]) < 0.2
    assert sum(profile.operators.values()) == pytest.approx(sum(profile.times.values()))


# ---------------------------------------------------------------------------------------------------------- the file


def test_of_a_trace_only_what_matters_is_read(tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    more = {"External id": 3, "correlation": 5}
    kept = {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 10.5, "dur": 2, "args": more}
    others = [
        {"ph": "M", "name": "process_name", "pid": 1, "ts": 0, "args": {"name": "python"}},
        {"ph": "s", "cat": "ac2g", "name": "ac2g", "pid": 1, "tid": 1, "ts": 10, "id": 5},
        {**kept, "cat": "gpu_user_annotation", "name": "loss"},
    ]
    file.write_text(json.dumps({"schemaVersion": 1, "traceEvents": [kept, *others]}))
    assert events_of(file) == [Event("kernel", "gemm", 10.5, 12.5, (0, 7), 5, 3)]


def test_half_a_trace_is_a_value_error(tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    file.write_text('{"traceEvents": [{"ph": "X", "cat": "cpu_op", "na')
    with pytest.raises(ValueError, match="Unterminated"):
        events_of(file)


# ------------------------------------------------------------------------------------------------------- the command


def test_it_shows_where_the_time_goes_and_leaves_a_trace(process: Gancore, tmp_path: Path) -> None:
    said = process(
        "train", ROOT / "examples" / "digits.toml", "--profile", "--out", "run",
        "--set", "train.steps=45", "--set", "train.device=cpu",
    )  # fmt: skip
    assert (said.code, said.out) == (0, "run\n")
    assert re.search(
        r"^digits  steps 16 to 35: \d+\.\d\d ms a step under the profiler, \d+\.\d\d ms without$", said.err, re.M
    )
    table = re.findall(r"^  (\S.*?) +(\d+\.\d\d) +(\d+\.\d)%", said.err, re.M)
    parts, operators = table[:-5], table[-5:]
    names = [name for name, _, _ in parts]
    assert set(names) >= {"backward", "penalty wgan-gp", "forward of D", "forward of G", "optimizer", "data", "EMA"}
    assert names[-1] == "rest"
    times = [float(time) for _, time, _ in parts[:-1]]
    assert times == sorted(times, reverse=True)
    assert sum(float(share) for _, _, share in parts) == pytest.approx(100, abs=1)
    assert "aten::mm" in {name for name, _, _ in operators}
    assert "\ntrace: run/profile/steps-16-35.pt.trace.json.gz\n" in said.err
    assert max(map(len, said.err[said.err.index("digits  ") : said.err.index("trace:")].splitlines())) <= 80
    assert "profiler_start" not in said.err, "torch's profiler does not chat"
    with gzip.open(tmp_path / "run" / "profile" / "steps-16-35.pt.trace.json.gz") as file:
        found = {event["name"] for event in json.load(file)["traceEvents"]}
    assert found >= {"ProfilerStep#16", "ProfilerStep#35", "phase of D", "phase of G", *names} - {"rest"}


def test_a_run_without_it_is_the_same_to_the_bit(gancore: Gancore, tiny: Path, tmp_path: Path) -> None:
    steps = "--set", "train.steps=20", "--set", "checkpoint.keep=9"
    assert gancore("train", tiny, "--out", "a", "--profile", *steps).code == 0
    assert gancore("train", tiny, "--out", "b", *steps).code == 0
    for step in (8, 12, 16, 20):
        files = [tmp_path / run / "checkpoints" / f"step-{step:08d}" for run in "ab"]
        for name in ("tensors.safetensors", "state.json"):
            assert files[0].joinpath(name).read_bytes() == files[1].joinpath(name).read_bytes(), f"step {step}, {name}"
    assert (tmp_path / "a" / "experiment.toml").read_text() == (tmp_path / "b" / "experiment.toml").read_text()
    assert not (tmp_path / "b" / "profile").exists()


SIGNALLER = """
import signal
from gancore import Component, component, hookimpl, option

@component
class Signaller:
    every: int = option(35, "Steps before it sends.")
    times: int = option(1, "How often.")

    def stepped(self, run):
        for _ in range(self.times):
            signal.raise_signal(signal.SIGINT)

@hookimpl
def gancore_callbacks():
    return [Component("signaller", "signaller:Signaller", "Sends SIGINT to its own process.")]
"""


def test_an_interrupted_run_has_its_checkpoint_and_its_trace(
    gancore: Gancore, tiny: Path, tmp_path: Path, install: Any
) -> None:
    install("gancore-signaller", signaller=SIGNALLER)
    callbacks = "--set", 'callback=[{name="signaller"}]', "--set", "checkpoint.every=100"
    said = gancore("train", tiny, "--out", "run", "--profile", *callbacks, "--set", "train.steps=93")
    assert (said.code, said.out) == (130, "")
    assert "tiny  steps 32 to 35: " in said.err
    assert said.err.endswith("to go on: gancore resume run\n")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000035"]
    assert [path.name for path in (tmp_path / "run" / "profile").iterdir()] == ["steps-32-35.pt.trace.json.gz"]
    resumed = gancore("resume", "run", "--set", "train.steps=36", "--set", "callback=[]")
    assert (resumed.code, resumed.out) == (0, "run\n")


def test_a_second_ctrl_c_does_not_wait_for_the_trace(
    gancore: Gancore, tiny: Path, tmp_path: Path, install: Any
) -> None:
    install("gancore-signaller", signaller=SIGNALLER)
    callbacks = "--set", 'callback=[{name="signaller", times=2}]'
    said = gancore("train", tiny, "--out", "run", "--profile", *callbacks, "--set", "train.steps=100")
    assert (said.code, said.out) == (130, "")
    assert "under the profiler" not in said.err
    assert not (tmp_path / "run" / "profile").exists()


def test_help_teaches_it_in_one_line(gancore: Gancore) -> None:
    assert re.search(r"--profile +Show where the time of a step goes", gancore("train", "--help").out)
