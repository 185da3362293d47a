"""What the signals mean to a run: SIGINT and SIGTERM end it with a checkpoint, SIGUSR1 writes one and goes on."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gancore.training.run import Run

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""Exit codes of a run that a signal has ended: 128 + its number, as shells have it."""


class Signals:
    """The signals that a run has received. `grace`: seconds after SIGTERM until the process ends in any case."""

    def __init__(self, grace: float) -> None:
        self.received: signal.Signals | None = None
        self._grace = grace
        self._run: Run | None = None

    @contextmanager
    def heard(self) -> Iterator["Callable[[Run], None]"]:
        """Handle signals within; yields what to call with the run that they are for."""
        handlers = {signal.SIGINT: self._end, signal.SIGTERM: self._end, signal.SIGUSR1: self._save}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield self._is_for
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        return EXIT[self.received or signal.SIGINT]

    def _is_for(self, run: "Run") -> None:
        self._run = run

    def _end(self, number: int, _: FrameType | None) -> None:
        self.received = signal.Signals(number)
        if self._run is not None:
            self._run.stop()
        # Not the handlers of before: a process started in the background has been told to ignore SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        click.echo(f"{self.received.name}: finishing this step; once more ends at once", err=True)
        if self.received == signal.SIGTERM and self._grace:
            timer = threading.Timer(self._grace, self._give_up)  # not an alarm: the main thread may be in a long kernel
            timer.daemon = True
            timer.start()

    def _save(self, number: int, _: FrameType | None) -> None:
        if self._run is not None:
            self._run.save_soon()

    def _give_up(self) -> None:
        click.echo(f"the step took longer than train.grace = {self._grace:g} s; the last checkpoint stands", err=True)
        os._exit(EXIT[signal.SIGTERM])
