"""When to write checkpoints, and which to keep. How they are written is `gancore.checkpoint`'s."""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import define

from gancore import checkpoint
from gancore.components import component, ge, option, state
from gancore.contracts import Ending, Run


@define
class Session:
    """What was written last, and what the run has logged so far of the number that tells how good a checkpoint is."""

    written: int = -1  # the step of the last checkpoint
    value: float | None = None
    others: frozenset[str] = frozenset()
    warned: bool = False


@component
class Checkpoints:
    """Writes checkpoints/step-<n> regularly, and at the end, whatever the end was.

    Except where the state at the end is none to go back to: a step that failed half-way, a number that is not finite.
    With `best`, each checkpoint is judged by the last value of that number, and the best one is kept as well.
    """

    every: int = option(1000, "Steps between two checkpoints.", ge(1))
    keep: int = option(3, "Checkpoints to keep; older ones are deleted once a new one is written.", ge(1))
    best: str = option("", 'A number of the log, e.g. "metric/fid/fid": the checkpoint where it was best is kept, too.')
    best_is: Literal["lowest", "highest"] = option("lowest", "Which value of `best` is the best.")
    session: Session = state(Session)

    def logged(self, run: Run, numbers: Mapping[str, float]) -> None:
        if self.best:
            self.session.value = numbers.get(self.best, self.session.value)
            self.session.others |= numbers.keys()

    def stepped(self, run: Run) -> None:
        value = self.session.value
        run.save({} if value is None else {self.best: value})
        self.session.written = run.step
        checkpoint.prune(run.folder, self.keep, checkpoint.best(run.folder, self.best, self.best_is))
        if self.best and value is None and not self.session.warned:
            self.session.warned = True
            run.notice(
                f"[checkpoint] best = {self.best!r}: nothing of this name was logged so far, so no checkpoint is the "
                f"best; there are {', '.join(sorted(self.session.others)) or 'no numbers'}"
            )

    def train_ended(self, run: Run, ending: Ending) -> None:
        written = run.step == self.session.written and ending != "failed"
        if run.step and run.intact and not written:
            self.stepped(run)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.session.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.session.value = state["value"]
