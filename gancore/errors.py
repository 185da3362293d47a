"""Every exception of gancore's own.

    GancoreError
    ├── UserError               something the user wrote or asked for; the command line exits with 2
    │   ├── ExperimentError     an experiment file with problems, all of them at once
    │   ├── ComponentError      a component that does not exist, is ambiguous, cannot be imported or breaks its contract
    │   ├── DataError           data that is not there or not what it should be
    │   └── RunFolderError      a run folder or checkpoint that is missing, damaged or in the way
    └── RunFailed               a run that started and could not go on; the command line exits with 1
        ├── NonFiniteError      a loss, gradient or weight that became NaN or infinite
        └── UnhealthyError      a fatal finding, where `[health] action` says that it ends the run

A message names what is wrong, where, what is known about it, and what to do.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen


class GancoreError(Exception):
    """Base of everything gancore raises on purpose."""

    exit_code = 1


class UserError(GancoreError):
    """A mistake in what was asked for; nothing was trained and nothing on disk was changed."""

    exit_code = 2


@frozen(order=True)
class Problem:
    """One mistake in an experiment file. `line` and `column` count from 1; 0 means there is no such place."""

    line: int
    column: int
    key: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        return ": ".join(part for part in (place, self.key, self.message) if part)


class ExperimentError(UserError):
    """All problems of one experiment, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))


class ComponentError(UserError):
    """A component that does not exist, is ambiguous, cannot be imported or breaks its contract."""


class DataError(UserError):
    """Data that is missing, unreadable or not what its DataSpec says."""


class RunFolderError(UserError):
    """A run folder or checkpoint that is missing, damaged or in the way."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(f"{path}: {message}" if path is not None else message)


class RunFailed(GancoreError):  # noqa: N818 - the name says what happened, as the message does
    """A run that started and could not go on."""


class NonFiniteError(RunFailed):
    """A loss, gradient or weight became NaN or infinite. It is reported, never masked.

    Attributes:
        findings: what was not finite first, as a `gancore.contracts.Finding`, where that is known.
    """

    holding = ()

    def __init__(self, message: str, findings: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class UnhealthyError(RunFailed):
    """Fatal findings of gradient health ended the run. The state is whole, and is saved.

    Attributes:
        findings: the fatal ones, `gancore.contracts.Finding` records.
        holding: all that held at that moment: the root of a fatal finding may be a mere warning.
    """

    def __init__(self, findings: Sequence[Any], holding: Sequence[Any] = ()) -> None:
        self.findings, self.holding = tuple(findings), tuple(holding)
        said = "; ".join(f"{finding.code} in {finding.where}: {finding.cause} {finding.remedy}" for finding in findings)
        super().__init__(f"step {self.findings[0].step}: {said}")


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says first, short enough for a line of ours."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
