"""What every callback has to hold."""

import tempfile
from collections.abc import Iterable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

from gancore.contracts import (
    Ending,
    Facts,
    Finding,
    Logged,
    Noticed,
    Probed,
    Stepped,
    TrainEnded,
    TrainStarted,
    Vitals,
)
from gancore.health.doctor import Doctor
from gancore.health.probe import Probe
from gancore.testing.kit import Subject, Violation
from gancore.testing.small_run import small_run
from gancore.training.checkup import Checkup

STEPS = 3


def has_a_moment(subject: Subject) -> None:
    component = subject.create()
    if hasattr(component, "stepped") and not isinstance(component, Stepped):
        raise Violation(
            f"{subject}: has stepped() but no option `every`, so it is never called; write every: int = "
            "option(100, ...)"
        )
    if not isinstance(component, TrainStarted | Logged | Stepped | Noticed | Probed | TrainEnded):
        raise Violation(
            f"{subject}: has none of the methods train_started, logged, stepped, noticed, probed, train_ended, so it "
            "never acts"
        )


def rhythm_is_a_number_of_steps(subject: Subject) -> None:
    component = subject.create()
    if isinstance(component, Stepped) and (type(component.every) is not int or component.every < 1):
        raise Violation(f"{subject}: `every` is {component.every!r}; make it an option of type int with ge(1)")


def survives_a_run_in_which_another_fails(subject: Subject) -> None:
    """Every moment of a real run, twice as a resume would have it, beside a callback that raises in each of its own."""
    options = {**subject.options, "every": 1} if isinstance(subject.create(), Stepped) else subject.options
    component, name = subject.cls(**options), subject.offer.name
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
        for steps in (STEPS, 2 * STEPS):
            notices = _Notices()
            beside = {"fails": _FailsAlways(), name: component, "notices": notices}
            run = small_run(beside, Path(folder), steps)
            run.step = steps - STEPS
            run.checkup = Checkup(Probe(), Doctor({"ill": _AlwaysIll()}, Facts({}, steps), warm_up=0), every=1)
            run.train()
            if mine := [notice for notice in notices.heard if f"callback {name!r}" in notice]:
                raise Violation(
                    f"{subject}: {mine[0].partition(';')[0]}. In this run of {STEPS} steps another callback failed in "
                    "every moment; do not count on what others do"
                )


def hears_of_a_run_that_never_began(subject: Subject) -> None:
    """The end comes also where the start failed, and must not fail on its own."""
    component = subject.create()
    if isinstance(component, TrainEnded):
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
            run = small_run({}, Path(folder), STEPS)
            try:
                component.train_ended(run, "failed")  # type: ignore[arg-type]  # it is the Run of the contract
            except Exception as error:
                raise Violation(
                    f"{subject}: train_ended() without train_started() failed: {type(error).__name__}: {error}. A run "
                    "may end before it began; check what was opened before closing it"
                ) from error


class _FailsAlways:
    every = 1

    def train_started(self, run: Any) -> None:
        raise RuntimeError("fails on purpose")

    def train_ended(self, run: Any, ending: Ending) -> None:
        raise RuntimeError("fails on purpose")

    logged = stepped = noticed = train_ended

    def probed(self, run: Any, vitals: Vitals, findings: Any) -> None:
        raise RuntimeError("fails on purpose")


class _Notices:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def noticed(self, run: Any, notice: str) -> None:
        self.heard.append(notice)


class _AlwaysIll:
    """A rule, so that callbacks are told of a finding."""

    patience: ClassVar[int] = 1

    def judge(self, vitals: Vitals, history: Any, facts: Facts) -> Iterable[Finding]:
        yield Finding("ill", "warn", "generator", {"A": 0.0}, "A > 1", "It is ill on purpose.", "Do nothing.")


CHECKS = (
    has_a_moment,
    rhythm_is_a_number_of_steps,
    survives_a_run_in_which_another_fails,
    hears_of_a_run_that_never_began,
)
