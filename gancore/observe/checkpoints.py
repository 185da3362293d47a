"""When to write checkpoints, and how many to keep. How they are written is `gancore.checkpoint`'s."""

from gancore import checkpoint
from gancore.components import component, ge, option
from gancore.contracts import Ending, Run


@component
class Checkpoints:
    """Writes checkpoints/step-<n> regularly, and at the end of a run that finished or was interrupted.

    A run that failed writes none: the last good one is the one to go back to.
    """

    every: int = option(1000, "Steps between two checkpoints.", ge(1))
    keep: int = option(3, "Checkpoints to keep; older ones are deleted once a new one is written.", ge(1))

    def stepped(self, run: Run) -> None:
        run.save()
        checkpoint.prune(run.folder, self.keep)

    def train_ended(self, run: Run, ending: Ending) -> None:
        if ending != "failed" and run.step % self.every:
            self.stepped(run)
