"""TensorBoard: losses, scores, gradient norms and metrics as curves, sample grids, the experiment as text, and
hparams."""

from collections.abc import Mapping
from typing import Any

from attrs import define

from gancore.components import component, ge, option, state
from gancore.contracts import Ending, Run
from gancore.observe.grid import picture


@define
class _Session:
    writer: Any = None
    last: Mapping[str, float] = {}


@component
class TensorBoard:
    """Writes events.out.tfevents.* into the run folder: `tensorboard --logdir runs`."""

    every: int = option(500, "Steps between two sample grids.", ge(1))
    seed: int = option(0, "Seed of the grid's latents.", ge(0))
    session: _Session = state(_Session)

    def train_started(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # purge_step hides what an interrupted process wrote after the checkpoint that this one starts from.
        self.session.writer = SummaryWriter(str(run.folder), purge_step=run.step + 1 if run.step else None)
        if not run.step:
            self.session.writer.add_text("experiment", f"```toml\n{run.text}\n```")

    def logged(self, run: Run, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self.session.writer.add_scalar(name, value, run.step)
        self.session.last = {**self.session.last, **numbers}

    def stepped(self, run: Run) -> None:
        n = 64 if run.data.is_image else 2000
        fakes = run.sample(*run.latents(n, self.seed))
        self.session.writer.add_image(
            "samples", picture(fakes, run.data, None if run.data.is_image else run.reals(n)), run.step
        )

    def train_ended(self, run: Run, ending: Ending) -> None:
        writer, last = self.session.writer, self.session.last
        if writer is None:
            return
        if ending == "finished" and last:
            if run.step % self.every:
                self.stepped(run)
            _write_hparams(writer, run, last)
        writer.close()


def _write_hparams(writer: Any, run: Run, last: Mapping[str, float]) -> None:
    """The options beside the final numbers. `add_hparams` would open a second event file in a folder of its own."""
    from torch.utils.tensorboard.summary import hparams

    metrics = {name: value for name, value in last.items() if name.startswith(("loss/", "metric/"))}
    for summary in hparams(dict(run.settings), metrics):  # type: ignore[no-untyped-call]
        writer.file_writer.add_summary(summary)
