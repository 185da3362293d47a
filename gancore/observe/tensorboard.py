"""TensorBoard: losses, scores, gradient norms, metrics and health as curves, sample grids, layers over time, findings
and notices as text, the experiment, and hparams."""

import re
import threading
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from attrs import define, field

from gancore.components import component, ge, option, state
from gancore.contracts import Ending, Finding, Role, Run, Vitals
from gancore.errors import RunFolderError
from gancore.health.doctor import in_words
from gancore.health.record import read
from gancore.observe.grid import picture
from gancore.observe.heatmap import Columns, heatmap

ABOUT_LAYERS = (
    "`health/layers/...`: the back-propagated signal (rms) of every layer, the first on top, from the first probe "
    "at the left to the last at the right, on a scale that never changes: dark 1e-12, light 1e2; orange is exactly "
    "zero, black no finite number."
)


@define
class _Session:
    writer: Any = None
    hook: Any = None  # for errors in threads, as it was before
    last: Mapping[str, float] = {}
    layers: dict[Role, Columns] = field(factory=dict)
    drawn: int = 0  # the step of the last heat maps
    said: set[str] = field(factory=set)  # findings that stand there already


@component
class TensorBoard:
    """Writes events.out.tfevents.* into the run folder: `tensorboard --logdir runs`."""

    every: int = option(500, "Steps between two sample grids, and two heat maps of layers.", ge(1))
    seed: int = option(0, "Seed of the grid's latents.", ge(0))
    session: _Session = state(_Session)

    def train_started(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.session.hook, threading.excepthook = threading.excepthook, _without_writers(threading.excepthook)
        # purge_step hides what an interrupted process wrote after the checkpoint that this one starts from.
        self.session.writer = SummaryWriter(str(run.folder), purge_step=run.step + 1 if run.step else None)
        if run.step:
            self._recall(run)
        else:
            self.session.writer.add_text("experiment", f"```toml\n{run.text}\n```")
            self.session.writer.add_text("health/layers", ABOUT_LAYERS)

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

    def probed(self, run: Run, vitals: Vitals, findings: Sequence[Finding]) -> None:
        session = self.session
        for name, value in vitals.numbers.items():
            session.writer.add_scalar(f"health/{name}", value, vitals.step)
        self._keep(vitals)
        for finding in findings:
            key = finding.key
            if key not in session.said:
                session.said.add(key)
                session.writer.add_text(f"health/{finding.code}", _as_text(in_words(finding)), vitals.step)
        if vitals.step // self.every > session.drawn // self.every:
            self._draw(vitals.step)

    def noticed(self, run: Run, notice: str) -> None:
        if self.session.writer is not None:
            self.session.writer.add_text("notices", _as_text(notice), run.step)

    def train_ended(self, run: Run, ending: Ending) -> None:
        writer, last = self.session.writer, self.session.last
        if writer is None:  # no file could be made
            threading.excepthook = self.session.hook or threading.excepthook
            return
        try:
            if self.session.layers and self.session.drawn < run.step:
                self._draw(run.step)
            if ending == "finished" and last:
                _write_hparams(writer, run, last)
            writer.close()
        finally:
            threading.excepthook = self.session.hook
            self.session.writer = None  # a notice of another callback's farewell would open a file of its own

    def state_dict(self) -> dict[str, Any]:
        """Nothing; but what a checkpoint has behind it must be on the disk, and the writer is a thread with a queue."""
        if self.session.writer is not None:
            self.session.writer.flush()
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing."""

    def _keep(self, vitals: Vitals) -> None:
        for role, found in vitals.layers.items():
            columns = self.session.layers.setdefault(role, Columns())
            columns.add({name: layer["gradient"] for name, layer in found.items()})

    def _draw(self, step: int) -> None:
        for role, columns in self.session.layers.items():
            if columns.columns:
                image = heatmap(columns.names, columns.columns)
                self.session.writer.add_image(f"health/layers/{role}", image, step, dataformats="HWC")
        self.session.drawn = step

    def _recall(self, run: Run) -> None:
        """What was shown before the run was interrupted, as far as the callback `health` has kept it."""
        try:
            record = read(run.folder)
        except RunFolderError:
            return
        for vitals in record.probes:
            if vitals.step <= run.step:
                self._keep(vitals)
        self.session.said |= {held.key for held in record.findings if held.first <= run.step}
        self.session.drawn = run.step


def _without_writers(hook: Any) -> Any:
    """For `threading.excepthook`: an error of the thread that writes events is raised again by whoever writes next."""

    def filtered(arguments: Any) -> None:
        if type(arguments.thread).__name__ != "_AsyncWriterThread":
            hook(arguments)

    return filtered


def _as_text(words: str) -> str:
    """TensorBoard takes text for Markdown: what means something there is escaped."""
    return re.sub(r"([\\`*_\[\]])", r"\\\1", escape(words, quote=False))


def _write_hparams(writer: Any, run: Run, last: Mapping[str, float]) -> None:
    """The options beside the final numbers. `add_hparams` would open a second event file in a folder of its own."""
    from torch.utils.tensorboard.summary import hparams

    metrics = {name: value for name, value in last.items() if name.startswith(("loss/", "metric/"))}
    for summary in hparams(dict(run.settings), metrics):  # type: ignore[no-untyped-call]
        writer.file_writer.add_summary(summary)
