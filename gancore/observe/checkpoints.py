"""When to write checkpoints, and how many to keep. How they are written is `gancore.checkpoint`'s."""

from gancore import checkpoint
from gancore.components import component, ge, option
from gancore.contracts import Ending, Run


@component
class Checkpoints:
    """Writes checkpoints/step-<n> regularly, and at the end, whatever the end was.

    Except where the state at the end is none to go back to: a step that failed half-way, a number that is not finite.
    """

    every: int = option(1000, "Steps between two checkpoints.", ge(1))
    keep: int = option(3, "Checkpoints to keep; older ones are deleted once a new one is written.", ge(1))

    def stepped(self, run: Run) -> None:
        run.save()
        checkpoint.prune(run.folder, self.keep)

    def train_ended(self, run: Run, ending: Ending) -> None:
        written = run.step % self.every == 0 and ending != "failed"
        if run.step and run.intact and not written:
            self.stepped(run)
