"""Progress on the terminal: a bar with speed, losses and the time left; plain lines where the output is no terminal."""

import time
from collections.abc import Mapping

import attrs
from attrs import define
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from gancore.components import component, ge, option, state
from gancore.contracts import Ending, Run


@define
class _Session:
    """What one process shows. Speed counts from its own first step, also after a resume."""

    console: Console
    bar: Bar | None = None
    task: TaskID = attrs.field(factory=lambda: TaskID(0))
    first_step: int = 0
    started: float = 0.0
    last_line: float = 0.0
    shown: str = ""


def _session() -> _Session:
    return _Session(Console(stderr=True))


@component
class Progress:
    """Shows steps, steps/s, images/s, losses and the time left, on standard error."""

    every: int = option(10, "Steps between two moves of the bar.", ge(1))
    seconds: float = option(5.0, "Without a terminal: seconds between two lines.", ge(0))
    session: _Session = state(_session)

    def train_started(self, run: Run) -> None:
        session = self.session
        session.first_step, session.started = run.step, time.monotonic()
        console = session.console
        start = f"from step {run.step} " if run.step else ""
        console.print(
            f"training {run.name} on {run.device}, {start}to step {run.steps}, in {run.folder}",
            highlight=False,
            markup=False,
        )
        if console.is_terminal:
            session.bar = Bar(
                TextColumn("[bold]{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
                TextColumn("{task.fields[numbers]}"),
                TextColumn("eta"),
                TimeRemainingColumn(),
                console=console,
            )
            session.task = session.bar.add_task("steps", total=run.steps, completed=run.step, speed="", numbers="")
            session.bar.start()

    def logged(self, run: Run, numbers: Mapping[str, float]) -> None:
        session = self.session
        shown = [
            f"loss {role[0].upper()} {numbers[f'loss/{role}']:.3f}"
            for role in ("discriminator", "generator")
            if f"loss/{role}" in numbers
        ]
        shown += [
            f"{name.removeprefix('metric/')} {value:.4g}"
            for name, value in numbers.items()
            if name.startswith("metric/")
        ]
        session.shown = "  ".join(shown) or session.shown
        now = time.monotonic()
        if session.bar is not None:
            session.bar.update(session.task, numbers=session.shown)
        elif now - session.last_line >= self.seconds or run.step == run.steps:
            session.last_line = now
            speed, per_second = self._speed(run)
            left = (run.steps - run.step) / per_second if per_second else 0.0
            session.console.print(
                f"step {run.step}/{run.steps}  {speed}  {session.shown}  eta {_clock(left)}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def stepped(self, run: Run) -> None:
        if self.session.bar is not None:
            self.session.bar.update(self.session.task, completed=run.step, speed=self._speed(run)[0])

    def noticed(self, run: Run, notice: str) -> None:
        self.session.console.print(notice, highlight=False, markup=False, soft_wrap=True)

    def train_ended(self, run: Run, ending: Ending) -> None:
        if self.session.bar is not None:
            self.session.bar.update(self.session.task, completed=run.step)
            self.session.bar.stop()
            self.session.bar = None
        seconds = time.monotonic() - self.session.started
        self.session.console.print(
            f"{ending} at step {run.step} after {_clock(seconds)}", highlight=False, markup=False
        )

    def _speed(self, run: Run) -> tuple[str, float]:
        per_second = (run.step - self.session.first_step) / max(time.monotonic() - self.session.started, 1e-9)
        return f"{per_second:.1f} steps/s, {per_second * run.batch_size:.0f} images/s", per_second


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
