"""Where a step's time goes: a few steps under torch's profiler, with the parts of a step labelled from outside.

Phases know nothing of this, and cost nothing more without it: while it lasts, proxies stand in for what a run calls,
and each of their calls is a span of the trace.
"""

import gzip
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from attrs import frozen
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from gancore.contracts import DiscriminatorInputs, Ending, GradientsReady, ParametersUpdated, Penalty, Role
from gancore.health.taps import NOTHING
from gancore.training.compiled import Compiled
from gancore.training.phases import Game, Plainly
from gancore.training.player import Player

if TYPE_CHECKING:
    from gancore.training.run import Run

KEY = "--profile"  # among the callbacks; no component can have this name
# Steps. By then libraries have chosen their algorithms and graphs are made.
WARM_UP = 31
STEPS = 20
PLAIN = 10  # steps after them, to see what they take without the profiler
STEP = "ProfilerStep#"  # what readers of traces know a step by
PHASES: dict[Role, str] = {"discriminator": "phase of D", "generator": "phase of G"}
FORWARD: dict[Role, str] = {"discriminator": "forward of D", "generator": "forward of G"}
BACKWARD, COMPILED, CAPTURED = "backward", "compiled phase", "captured phase"


@frozen
class Recorded:
    """What was profiled.

    Attributes:
        first, last: the steps, counted from 1.
        parts: names of the spans that are parts of a step.
        events: the trace as plain JSON, in Chrome's format; gone after the call that is told of it.
        trace: what stays of it, in the run folder; None if it could not be written.
        plain: milliseconds that the next steps have taken, without the profiler; None if there were none.
    """

    name: str
    first: int
    last: int
    parts: frozenset[str]
    events: Path
    trace: Path | None
    plain: float | None


class Profiler:
    """A callback that profiles some steps of a run, writes the trace into its folder and then takes itself off.

    Training is the same to the bit. What goes wrong with the trace does not end the run.

    Args:
        show: told of what was recorded, between two steps.
    """

    _profile: profile

    def __init__(self, show: Callable[[Recorded], None]) -> None:
        self.every = 1  # the number of the step at which it wants to be called next
        self._show = show
        self._first, self._last = 0, 0  # steps finished before, and with the last one
        self._labels: Labels | None = None
        self._running = False
        self._since = 0.0  # the clock, when the profiler was stopped

    def join(self, run: "Run") -> None:
        """As the first of the callbacks: at an early end the checkpoint comes before the trace."""
        run.observers.callbacks = {KEY: self, **run.observers.callbacks}

    def train_started(self, run: "Run") -> None:
        left = run.steps - run.step
        # What comes seldom (a probe, a look at the log) is compiled when it comes first: its second time is profiled.
        seldom = max(run.log_every, run.checkup.round if run.checkup else 1)
        self._first = run.step + min(max(WARM_UP, 2 * seldom - STEPS + 2), left // 3)
        self._last = min(self._first + STEPS, run.steps)
        self.every = max(1, self._first)
        if run.step == self._first:
            self._start(run)

    def stepped(self, run: "Run") -> None:
        if run.step == self._first:
            self._start(run)
            return
        if run.step == self._last:
            self._stop(run)
        if run.step in (self._last + PLAIN, run.steps):
            self._report(run)

    def train_ended(self, run: "Run", ending: Ending) -> None:
        """Before it was done: with what there is, unless the run has failed and somebody waits for its end."""
        if self._running:
            self._stop(run)
        if ending == "failed":
            self._leave(run)
        elif self._labels is not None and self._last > self._first:
            self._report(run)
        else:
            self._leave(run)
            run.notice(f"nothing was profiled: the run has ended before step {self._first + 1}")

    def _start(self, run: "Run") -> None:
        self.every = self._last
        device = [ProfilerActivity.CUDA] if run.device.type == "cuda" else []
        # Some versions warn of what is lost without acc_events, though there is nothing to be lost.
        self._profile = profile(activities=[ProfilerActivity.CPU, *device], acc_events=True)
        self._profile.prepare_trace()
        _wait(run)
        self._labels = Labels(run)
        self._profile.start_trace()
        self._running = True
        self._labels.put_on()

    def _stop(self, run: "Run") -> None:
        self._running = False
        self._last = run.step
        self.every = self._last + PLAIN
        _wait(run)
        if self._labels is not None:
            self._labels.take_off()
        self._profile.stop_trace()
        self._since = time.perf_counter()

    def _leave(self, run: "Run") -> None:
        run.observers.callbacks = {key: other for key, other in run.callbacks.items() if other is not self}

    def _report(self, run: "Run") -> None:
        _wait(run)
        steps = run.step - self._last
        plain = (time.perf_counter() - self._since) * 1000 / steps if steps else None
        self._leave(run)
        assert self._labels is not None
        parts = frozenset(self._labels.names)
        trace = None
        try:
            with tempfile.TemporaryDirectory(prefix="gancore-") as folder:
                events = Path(folder, "trace.json")
                self._profile.export_chrome_trace(str(events))
                trace = self._keep(run, events)
                self._show(Recorded(run.name, self._first + 1, self._last, parts, events, trace, plain))
        except (OSError, ValueError) as error:  # torch does not say that it could not write: then it cannot be read
            with suppress(OSError):
                if trace is not None:
                    trace.unlink()
            why = error.strerror if isinstance(error, OSError) else f"it is not whole; is {tempfile.gettempdir()} full?"
            run.notice(f"the profile is lost: {why}")

    def _keep(self, run: "Run", events: Path) -> Path | None:
        """Compressed, in the run folder."""
        trace = run.folder / "profile" / f"steps-{self._first + 1}-{self._last}.pt.trace.json.gz"
        unfinished = trace.with_name(f".{trace.name}")
        try:
            trace.parent.mkdir(exist_ok=True)
            with events.open("rb") as source, gzip.open(unfinished, "wb") as target:
                shutil.copyfileobj(source, target)
            return unfinished.replace(trace)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            run.notice(f"the trace cannot be written: {error.strerror}")
            return None


def _wait(run: "Run") -> None:
    """For the device: what it does for other steps is none of these steps' work."""
    if run.device.type == "cuda":
        torch.cuda.synchronize(run.device)


class Labels:
    """Spans around the parts of a run's steps, from `put_on` to `take_off`.

    A part within another one is a span as well. What a compiled or captured phase does inside has none.
    """

    def __init__(self, run: "Run") -> None:
        self.names: set[str] = set()
        self._run = run
        self._before: dict[str, Any] = {}
        self._step: record_function | None = None
        self._phase: record_function | None = None

    def put_on(self) -> None:
        run = self._run
        proxies = {
            "game": self._game(run.game),
            "checkup": self._checkup(run.checkup),
            "ema": _Proxy(run.ema, update=self._after_phase("EMA", run.ema.update)),
            "numbers": _Proxy(
                run.numbers,
                add=run.numbers.add,
                add_row=run.numbers.add_row,
                fetch=self._after_phase("log", run.numbers.fetch),
            ),
            "metrics": {
                key: _Proxy(metric, evaluate=self._part(f"metric {key}", metric.evaluate))
                for key, metric in run.metrics.items()
            },
            "observers": _Proxy(run.observers, tell=self._tell),
        }
        for name, proxy in proxies.items():
            self._before[name] = getattr(run, name)
            setattr(run, name, proxy)

    def take_off(self) -> None:
        for name, value in self._before.items():
            setattr(self._run, name, value)
        self._end_phase()
        self._end_step()

    # ------------------------------------------------------------------------------------------------------- spans

    def _part(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        self.names.add(name)

        def labelled(*args: Any, **kwargs: Any) -> Any:
            with record_function(name):
                return call(*args, **kwargs)

        return labelled

    def _after_phase(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        labelled = self._part(name, call)

        def after_phase(*args: Any, **kwargs: Any) -> Any:
            self._end_phase()
            return labelled(*args, **kwargs)

        return after_phase

    @contextmanager
    def _around(self, name: str, inner: AbstractContextManager[Any]) -> Iterator[None]:
        with record_function(name), inner:
            yield

    def _end_phase(self) -> None:
        if self._phase is not None:
            self._phase.__exit__(None, None, None)
            self._phase = None

    def _end_step(self) -> None:
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = None

    # ----------------------------------------------------------------------------------------------------- proxies

    def _game(self, game: Game) -> Game:
        feed: Any = _Proxy(game.feed, next=self._part("data", game.feed.next))
        latents: Any = _Proxy(game.latents, draw=self._part("latents", game.latents.draw))
        loss: Any = _Proxy(game.loss, **{role: self._part("loss", getattr(game.loss, role)) for role in PHASES})
        return attrs.evolve(
            game,
            generator=self._player(game.generator),
            discriminator=self._player(game.discriminator),
            loss=loss,
            feed=feed,
            latents=latents,
            differentiate=self._differentiate(game),
            take=self._take(game),
        )

    def _player(self, player: Player) -> Any:
        schedule = player.schedule
        moments = {
            "shown": ("inputs", DiscriminatorInputs),
            "penalties": ("penalty", Penalty),
            "adjust_gradients": ("gradients", GradientsReady),
            "adjust_parameters": ("parameters", ParametersUpdated),
        }
        labelled = {}
        for method, (name, moment) in moments.items():
            if keys := [r.key for r in player.regularizers if isinstance(r.component, moment)]:
                labelled[method] = self._part(f"{name} {', '.join(keys)}", getattr(player, method))
        return _Proxy(
            player,
            take_step=self._part("optimizer", player.take_step),
            schedule=_Proxy(schedule, step=self._after_phase("schedule", schedule.step)),
            **labelled,
        )

    def _take(self, game: Game) -> Any:
        return game.take if isinstance(game.take, Plainly) else self._whole(CAPTURED, game.take, game)

    def _differentiate(self, game: Game) -> Any:
        plain: Callable[..., None] = game.differentiate
        if isinstance(plain, Compiled):
            return self._whole(COMPILED, plain, game)
        # Networks that are compiled are called only where there are no taps.
        tapped = game.generator.compiled is None and game.discriminator.compiled is None
        self.names |= {BACKWARD, *FORWARD.values()} if tapped else set()

        def inside(*others: Any) -> None:
            *drawn, probe = others
            plain(*drawn, self._taps_inside(probe) if tapped else probe)

        return _Proxy(plain, call=inside)

    def _whole(self, name: str, call: Callable[..., None], game: Game) -> Any:
        """What makes a graph of a phase has one label, and is given the game and the taps as they were."""
        labelled = self._part(name, call)

        def whole(_: Game, *others: Any) -> None:
            *drawn, probe = others
            labelled(game, *drawn, probe.source if isinstance(probe, _Proxy) else probe)

        return _Proxy(call, call=whole)

    def _checkup(self, checkup: Any) -> Any:
        taps = partial(self._phase_begins, checkup)
        if checkup is None:
            return _NoCheckup(taps)
        return _Proxy(
            checkup,
            taps=taps,
            rests=lambda *_: False,
            close=self._after_phase("probe", checkup.close),
            probe=_Proxy(checkup.probe, next=self._part("probe", checkup.probe.next)),
            doctor=_Proxy(checkup.doctor, examine=self._part("doctor", checkup.doctor.examine)),
        )

    def _phase_begins(self, checkup: Any, player: Player, index: int, phases: int) -> Any:
        """A phase begins by asking for its taps."""
        self._end_phase()
        if player.role == "discriminator" and index % phases == 0:
            self._end_step()
            self._step = record_function(f"{STEP}{self._run.step + 1}")
            self._step.__enter__()  # type: ignore[no-untyped-call]
        self._phase = record_function(PHASES[player.role])
        self._phase.__enter__()  # type: ignore[no-untyped-call]
        probe = NOTHING if checkup is None else checkup.taps(player, index, phases)
        if probe is NOTHING:
            return probe
        own = ("given", "scored", "compared", "summed", "gradients", "averaged", "before_update", "after_update")
        return _Proxy(probe, **{name: self._part("probe", getattr(probe, name)) for name in own})

    def _taps_inside(self, probe: Any) -> Any:
        """The taps of a phase, with labels for the forward and backward passes that they are put around."""

        def forward(around: Callable[..., Any]) -> Callable[..., Any]:
            return lambda network, *more: self._around(self._name_of(network), around(network, *more))

        return _Proxy(
            probe,
            watching=forward(probe.watching),
            passing=forward(probe.passing),
            backward=lambda: self._around(BACKWARD, probe.backward()),
        )

    def _name_of(self, network: nn.Module) -> str:
        return FORWARD["generator" if network is self._run.game.generator.network else "discriminator"]

    def _tell(self, run: "Run", moment: type[Any], call: Callable[[Any], None], *, due: bool = False) -> None:
        self._end_phase()
        names = {id(callback): f"callback {key}" for key, callback in run.callbacks.items() if key != KEY}
        self.names |= set(names.values())

        def labelled(callback: Any) -> None:
            if (name := names.get(id(callback))) is None:
                call(callback)  # the profiler's own
                return
            with record_function(name):
                call(callback)

        self._before["observers"].tell(run, moment, labelled, due=due)


class _Proxy:
    """Passes on everything except what it is given."""

    def __init__(self, source: Any, **own: Any) -> None:
        # In the instance itself: isinstance() asks there whether something is Stateful, and not __getattr__.
        state = {name: getattr(source, name) for name in ("state_dict", "load_state_dict") if hasattr(source, name)}
        vars(self).update(state | own, source=source)

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["source"], name)

    def __len__(self) -> int:
        return len(self.source)

    def __bool__(self) -> bool:
        return bool(self.source)


class _NoCheckup:
    """Stands in where a run is not probed: false, but asked for taps."""

    def __init__(self, taps: Callable[..., Any]) -> None:
        self.taps = taps

    def rests(self, step: int, weighing: int) -> bool:
        return False

    def __bool__(self) -> bool:
        return False
