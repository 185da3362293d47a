"""Where a step's time goes, read from the trace of a profiled run and shown on the terminal."""

import json
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import field, frozen

from gancore.cli.findings import columns

if TYPE_CHECKING:
    from gancore.training.profiling import Recorded

DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of a trace
LAUNCH = ("cuda_runtime", "cuda_driver")
OPERATOR, SPAN = "cpu_op", "user_annotation"
REST = "rest"
MOST = 5  # operators


class Event(NamedTuple):
    """One of a trace. Times in microseconds.

    `correlation` is common to what the device does and the call that has launched it; `operator` is the number of the
    operator that has, and an operator's own.
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
    """A part of a step: milliseconds a step, of the host and of the device, also by the phase they were spent in."""

    host: float = 0.0
    device: float = 0.0
    host_in: dict[str, float] = field(factory=dict)
    device_in: dict[str, float] = field(factory=dict)


@frozen
class Profile:
    """Where the time of a step goes.

    Attributes:
        steps: profiled; step: milliseconds from one to the next.
        parts: by name. Every moment counts once, for the outermost part; what the device does counts for the part in
            which it was launched. `rest` is what no part covers.
        operators: milliseconds a step without what they call themselves; on a GPU those of the device.
        busy: share of the time in which the device did something; None without one.
    """

    steps: int
    step: float
    parts: dict[str, Part]
    operators: dict[str, float]
    busy: float | None

    @property
    def shares(self) -> dict[str, float]:
        """Of a step; on a GPU of all that the device did."""
        times = {name: part.host if self.busy is None else part.device for name, part in self.parts.items()}
        total = sum(times.values()) or 1.0
        return {name: time / total for name, time in times.items()}


def show(recorded: "Recorded") -> None:
    """Print the profile on standard error."""
    from rich.console import Console
    from rich.text import Text

    profile = analysed(recorded)
    console = Console(stderr=True, highlight=False)
    title = f"  steps {recorded.first} to {recorded.last} under the profiler: {profile.step:.2f} ms a step"
    title += "" if profile.busy is None else f", the GPU busy for {profile.busy:.0%} of it"
    console.print()
    console.print(Text.assemble((recorded.name, "bold"), title), soft_wrap=True)
    for rows in (_parts(profile), _operators(profile)):
        console.print()
        first, *rest = columns(rows, right=range(1, len(rows[0])))
        console.print(f"  {first}", style="dim", markup=False, soft_wrap=True)
        for line in rest:
            console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print()
    if recorded.trace is not None:
        console.print(f"trace: {recorded.trace}", markup=False, soft_wrap=True)
        console.print("  load it at https://ui.perfetto.dev (it is not uploaded)", style="dim", soft_wrap=True)
        console.print()


def _parts(profile: Profile) -> list[tuple[str, ...]]:
    from gancore.training.profiling import PHASES

    shares, on_device = profile.shares, profile.busy is not None
    head = ("part of a step", "GPU ms" if on_device else "ms", "share", *(f"in {name}" for name in PHASES.values()))
    rows: list[tuple[str, ...]] = [(*head, "host ms") if on_device else head]
    for name in sorted(shares, key=lambda name: (name == REST, -shares[name])):
        part = profile.parts[name]
        inside = part.device_in if on_device else part.host_in
        row = (name, _ms(part.device if on_device else part.host), f"{shares[name]:.1%}")
        row += tuple(_ms(inside[phase]) if phase in inside else "" for phase in PHASES.values())
        rows.append((*row, _ms(part.host)) if on_device else row)
    return rows


def _operators(profile: Profile) -> list[tuple[str, ...]]:
    total = sum(part.host if profile.busy is None else part.device for part in profile.parts.values()) or 1.0
    most = sorted(profile.operators.items(), key=lambda item: -item[1])[:MOST]
    head = ("operator", "ms" if profile.busy is None else "GPU ms", "share")
    return [head, *((_short(name), _ms(time), f"{time / total:.1%}") for name, time in most)]


def _ms(time: float) -> str:
    return f"{time:.2f}"


def _short(name: str, most: int = 48) -> str:
    """Names of kernels are whole sentences."""
    return name if len(name) <= most else f"{name[: most - 3]}..."


# ---------------------------------------------------------------------------------------------------------- reading


def analysed(recorded: "Recorded") -> Profile:
    """
    Raises:
        ValueError: the trace is not whole.
    """
    return _analysed(events_of(recorded.events), recorded.parts, recorded.last - recorded.first + 1)


def events_of(file: Path) -> list[Event]:
    """The events of a trace that matter here.

    Raises:
        ValueError: it is not whole.
    """
    found = json.loads(file.read_text("utf-8"), object_hook=_event)  # at once into what is small: there are many
    return [event for event in found["traceEvents"] if isinstance(event, Event)]


def _event(found: dict[str, Any]) -> Any:
    if found.get("ph") != "X":
        return found
    if found.get("cat") not in (*DEVICE, *LAUNCH, OPERATOR, SPAN):
        return None
    more, start = found.get("args", {}), float(found["ts"])
    end = start + float(found.get("dur", 0.0))
    correlation, operator = more.get("correlation", 0), more.get("External id", 0)
    return Event(found["cat"], found["name"], start, end, (found["pid"], found["tid"]), correlation, operator)


def profile_of(events: Sequence[Event], parts: frozenset[str], steps: int) -> Profile:
    """
    Args:
        parts: names of the spans that are parts of a step.
        steps: how many there are, if the trace does not say it.
    """
    from gancore.training.profiling import STEP

    spans = [event for event in events if event.category == SPAN]
    marked = [span for span in spans if span.name.startswith(STEP)]
    begin = min((span.start for span in marked or spans), default=0.0)
    end = max((span.end for span in marked or spans), default=0.0)
    n = len(marked) or steps
    ledger = Ledger([span for span in spans if begin <= span.start < end], parts)
    host, device = ledger.host(end - begin), _Times()
    launched = {event.correlation: event.start for event in events if event.category in LAUNCH and event.correlation}
    done = []
    for event in events:
        if event.category in DEVICE and begin <= (at := launched.get(event.correlation, event.start)) < end:
            device.add(ledger.place(at), event)
            done.append(event)
    operators = _on_device(events, done) if done else _on_host(events, begin, end)
    span = max([end, *(event.end for event in done)]) - begin
    return Profile(
        steps=n,
        step=(end - begin) / n / 1000,
        parts={
            name: Part(host.of(name) / n / 1000, device.of(name) / n / 1000, host.by_phase(name, n), device.by_phase(name, n))
            for name in host.names | device.names
        },
        operators={name: time / n / 1000 for name, time in operators.items()},
        busy=_covered(done) / span if done else None,
    )


Place = tuple[str, str]
"""A part and the phase it is in, "" for none."""


class Ledger:
class Spans:
    """Events that do not overlap, to be found by time."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = sorted(events, key=lambda event: event.start)
        self._starts = [event.start for event in self.events]

    def at(self, time: float) -> Event | None:
        i = bisect_right(self._starts, time) - 1
        return self.events[i] if i >= 0 and time < self.events[i].end else None


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


def _on_host(events: Iterable[Event], begin: float, end: float) -> Counter[str]:
    """Time of operators, without that of the operators that they call."""
    times: Counter[str] = Counter()
    stacks: dict[tuple[Any, Any], list[Event]] = defaultdict(list)
    operators = (event for event in events if event.category == OPERATOR and begin <= event.start < end)
    for event in sorted(operators, key=lambda event: (event.start, -event.end)):
        stack = stacks[event.thread]
        while stack and stack[-1].end <= event.start:
            stack.pop()
        times[event.name] += event.end - event.start
        if stack:
            times[stack[-1].name] -= event.end - event.start
        stack.append(event)
    return times


def _on_device(events: Iterable[Event], done: Iterable[Event]) -> Counter[str]:
    """Time of the device by the operators that have asked for it; what nobody has (a graph) by its own name."""
    names = {event.operator: event.name for event in events if event.category == OPERATOR and event.operator}
    times: Counter[str] = Counter()
    for event in done:
        times[names.get(event.operator, event.name)] += event.end - event.start
    return times
