"""Where a step's time goes, read from the trace of a profiled run and shown on the terminal."""

import json
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import field, frozen

from gancore.cli.findings import columns

if TYPE_CHECKING:
    from gancore.training.profiling import Recorded

# Categories of a trace.
DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")
LAUNCH = ("cuda_runtime", "cuda_driver")
OPERATOR, SPAN = "cpu_op", "user_annotation"

REST = "rest"
MOST = 5  # operators


class Event(NamedTuple):
    """One of a trace. Times in microseconds.

    `correlation` is common to what the device does and the call that has launched it; `operator` is the number of the
    operator that has asked for it, and an operator's own.
    """

    category: str
    name: str
    start: float
    end: float
    thread: tuple[Any, Any] = (0, 0)
    correlation: int = 0
    operator: int = 0


@frozen
class Part:
    """A part of a step: milliseconds a step by the phase that they were spent in, "" for none."""

    host: dict[str, float] = field(factory=dict)
    device: dict[str, float] = field(factory=dict)


@frozen
class Profile:
    """Where the time of a step goes. Times in milliseconds a step.

    Attributes:
        step: from one to the next.
        parts: every moment counts once, for the outermost part that it is in; what the device does counts for the part
            that has launched it. `rest` is what no part covers.
        operators: without those that they call; on a GPU what the device does for them.
        busy: share of the time in which the device did something; None without one.
    """

    step: float
    parts: Mapping[str, Part]
    operators: Mapping[str, float]
    busy: float | None

    @property
    def times(self) -> dict[str, float]:
        """Of the parts, longest first and the rest last; on a GPU the device's."""
        times = {name: sum(self.by_phase(name).values()) for name in self.parts}
        return dict(sorted(times.items(), key=lambda item: (item[0] == REST, -item[1])))

    def by_phase(self, name: str) -> dict[str, float]:
        return self.parts[name].host if self.busy is None else self.parts[name].device

    def share(self, time: float) -> float:
        """Of a step; on a GPU of all that the device does in one."""
        return time / (sum(self.times.values()) or 1.0)


# --------------------------------------------------------------------------------------------------------- terminal


def show(recorded: "Recorded") -> None:
    """Print the profile on standard error.

    Raises:
        ValueError: the trace is not whole.
    """
    from rich.console import Console
    from rich.text import Text

    profile = profile_of(events_of(recorded.events), recorded.parts, recorded.last - recorded.first + 1)
    console = Console(stderr=True, highlight=False)
    words = f"  steps {recorded.first} to {recorded.last}: {profile.step:.2f} ms a step under the profiler"
    words += "" if recorded.plain is None else f", {recorded.plain:.2f} ms without"
    console.print()
    console.print(Text.assemble((recorded.name, "bold"), words), soft_wrap=True)
    if profile.busy is not None:
        console.print(f"under the profiler the GPU is busy for {profile.busy:.0%} of the time", soft_wrap=True)
    for rows in (_parts(profile), _operators(profile)):
        console.print()
        head, *lines = columns(rows, right=range(1, len(rows[0])))
        console.print(f"  {head}", style="dim", markup=False, soft_wrap=True)
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print()
    if recorded.trace is not None:
        console.print(f"trace: {recorded.trace}", markup=False, soft_wrap=True)
        for where in ("https://ui.perfetto.dev (nothing is uploaded)", "TensorBoard with the plugin torch-tb-profiler"):
            console.print(f"  for {where}", style="dim", markup=False, soft_wrap=True)
        console.print()


def _parts(profile: Profile) -> list[tuple[str, ...]]:
    from gancore.training.profiling import PHASES

    phases = tuple(PHASES.values())
    rows = [("part of a step", _unit(profile), "share", *(f"in {phase}" for phase in phases))]
    for name, time in profile.times.items():
        inside = profile.by_phase(name)
        within = (f"{inside[phase]:.2f}" if phase in inside else "" for phase in phases)
        rows.append((name, f"{time:.2f}", f"{profile.share(time):.1%}", *within))
    if profile.busy is None:
        return rows
    on_host = (f"{sum(profile.parts[name].host.values()):.2f}" for name in profile.times)
    return [(*row, cell) for row, cell in zip(rows, ("host ms", *on_host), strict=True)]


def _operators(profile: Profile) -> list[tuple[str, ...]]:
    most = sorted(profile.operators.items(), key=lambda item: -item[1])[:MOST]
    rows = ((_short(name), f"{time:.2f}", f"{profile.share(time):.1%}") for name, time in most)
    return [("operator", _unit(profile), "share"), *rows]


def _unit(profile: Profile) -> str:
    return "ms" if profile.busy is None else "GPU ms"


def _short(name: str, most: int = 48) -> str:
    """Names of kernels are whole sentences."""
    return name if len(name) <= most else f"{name[: most - 3]}..."


# ---------------------------------------------------------------------------------------------------------- reading


def events_of(file: Path) -> list[Event]:
    """The events of a trace that matter here.

    Raises:
        OSError, ValueError: it is not there, or not whole.
    """
    found = json.loads(file.read_text("utf-8"), object_hook=_event)  # at once into what is small: there are many
    return [event for event in found["traceEvents"] if isinstance(event, Event)]


def _event(found: dict[str, Any]) -> Any:
    if found.get("ph") != "X":
        return found
    if found.get("cat") not in (*DEVICE, *LAUNCH, OPERATOR, SPAN):
        return None
    start, more = float(found["ts"]), found.get("args", {})
    end, thread = start + float(found.get("dur", 0.0)), (found["pid"], found["tid"])
    return Event(
        found["cat"], found["name"], start, end, thread, more.get("correlation", 0), more.get("External id", 0)
    )


def profile_of(events: Sequence[Event], names: frozenset[str], steps: int) -> Profile:
    """
    Args:
        names: of the spans that are parts of a step.
        steps: how many there are, where the trace does not say it.
    """
    from gancore.training.profiling import STEP

    marked = [event for event in events if event.category == SPAN and event.name.startswith(STEP)]
    begin = min((event.start for event in marked or events), default=0.0)
    end = max((event.end for event in marked or events), default=0.0)
    inside = [event for event in events if begin <= event.start < end]
    ledger = _Ledger([event for event in inside if event.category == SPAN], names)
    ledger.fill(end - begin)
    launched = {event.correlation: event.start for event in inside if event.category in LAUNCH and event.correlation}
    done = []
    for event in events:
        if event.category in DEVICE and begin <= (at := launched.get(event.correlation, event.start)) < end:
            ledger.book(event, at)
            done.append(event)
    per_step = 1 / ((len(marked) or steps) * 1000)
    return Profile(
        step=(end - begin) * per_step,
        parts={
            name: Part(*({phase: time * per_step for phase, time in times.items()} for times in (host, device)))
            for name, (host, device) in ledger.times.items()
        },
        operators={
            name: time * per_step for name, time in (_on_device(inside, done) if done else _on_host(inside)).items()
        },
        busy=_covered(done) / (max([end, *(event.end for event in done)]) - begin) if done else None,
    )


class _Ledger:
    """Who has spent what: `times` by part, on the host and on the device, by phase.

    In a phase without a backward that anybody sees, its networks are compiled.
    """

    def __init__(self, spans: Sequence[Event], names: frozenset[str]) -> None:
        from gancore.training.profiling import BACKWARD, CAPTURED, COMPILED, PHASES

        self.times: dict[str, tuple[dict[str, float], dict[str, float]]] = defaultdict(
            lambda: (defaultdict(float), defaultdict(float))
        )
        self._parts = _Line(_outermost(span for span in spans if span.name in names))
        self._phases = _Line(span for span in spans if span.name in PHASES.values())
        self._rests: dict[Event | None, str] = defaultdict(lambda: COMPILED, {None: REST})
        for part in self._parts.events:
            if part.name in (BACKWARD, COMPILED, CAPTURED):
                self._rests[self._phases.at(part.start)] = REST

    def fill(self, total: float) -> None:
        """The time of the host, of `total` altogether."""
        left: dict[Event | None, float] = {phase: phase.end - phase.start for phase in self._phases.events}
        left[None] = total - sum(left.values())
        for part in self._parts.events:
            phase, time = self._phases.at(part.start), part.end - part.start
            self.times[part.name][0][_name(phase)] += time
            left[phase] -= time
        for phase, time in left.items():
            self.times[self._rests[phase]][0][_name(phase)] += max(0.0, time)

    def book(self, event: Event, launched: float) -> None:
        """What the device has done."""
        part, phase = self._parts.at(launched), self._phases.at(launched)
        self.times[part.name if part else self._rests[phase]][1][_name(phase)] += event.end - event.start


class _Line:
    """Events that do not overlap, to be found by time."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = sorted(events, key=lambda event: event.start)
        self._starts = [event.start for event in self.events]

    def at(self, time: float) -> Event | None:
        i = bisect_right(self._starts, time) - 1
        return self.events[i] if i >= 0 and time < self.events[i].end else None


def _name(phase: Event | None) -> str:
    return phase.name if phase else ""


def _outermost(events: Iterable[Event]) -> list[Event]:
    found, end = [], -math.inf
    for event in sorted(events, key=lambda event: (event.start, -event.end)):
        if event.start >= end:
            found.append(event)
            end = event.end
    return found


def _covered(events: Iterable[Event]) -> float:
    """Time in which at least one of them was under way."""
    covered, until = 0.0, -math.inf
    for event in sorted(events, key=lambda event: event.start):
        covered += max(0.0, event.end - max(event.start, until))
        until = max(until, event.end)
    return covered


def _on_host(events: Iterable[Event]) -> dict[str, float]:
    """Time of operators, without those that they call."""
    times: dict[str, float] = defaultdict(float)
    stacks: dict[tuple[Any, Any], list[Event]] = defaultdict(list)
    operators = (event for event in events if event.category == OPERATOR)
    for event in sorted(operators, key=lambda event: (event.start, -event.end)):
        stack = stacks[event.thread]
        while stack and stack[-1].end <= event.start:
            stack.pop()
        times[event.name] += event.end - event.start
        if stack:
            times[stack[-1].name] -= event.end - event.start
        stack.append(event)
    return times


def _on_device(events: Iterable[Event], done: Iterable[Event]) -> dict[str, float]:
    """Time of the device, by the operators that have asked for it; what none has (a graph) by its own name."""
    names = {event.operator: event.name for event in events if event.category == OPERATOR and event.operator}
    times: dict[str, float] = defaultdict(float)
    for event in done:
        times[names.get(event.operator, event.name)] += event.end - event.start
    return times
