"""A run: the loop around the phases, the moments of callbacks, and everything that a checkpoint needs."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from attrs import define, field
from torch import Tensor, nn

from gancore import checkpoint
from gancore.contracts import (
    DataSpec,
    Ending,
    Logged,
    Metric,
    Probed,
    Role,
    Stepped,
    TrainStarted,
    Vitals,
)
from gancore.errors import NonFiniteError, RunFailed, RunFolderError, UnhealthyError
from gancore.health.doctor import in_words
from gancore.health.nonfinite import finding_of
from gancore.health.taps import NOTHING, PhaseProbe
from gancore.training import state
from gancore.training.checkup import Checkup
from gancore.training.ema import Ema
from gancore.training.memory import shortage
from gancore.training.numbers import Numbers
from gancore.training.observers import Observers
from gancore.training.phases import Game, discriminator_phase, generator_phase
from gancore.training.recorder import Capsule, Good, investigate, packed, remember
from gancore.training.streams import GlobalStreams, derive
from gancore.training.threads import Threads


def _nothing(role: Role, index: int) -> PhaseProbe:
    """The taps of steps that are not probed."""
    return NOTHING


@define(eq=False)
class Run:
    """One training. `advance(n)` takes n steps; `train()` goes to the end, with callbacks and metrics in between.

    Attributes:
        name: of the experiment.
        step: steps finished; a step is one G update with its n_critic D updates.
        steps: steps planned.
        metrics: by the key that names them in checkpoints and logs.
        clock: `step` once more, as a tensor on the device, for what runs inside a phase.
        checkup: how the run is probed and judged; None not at all.
        text: the resolved experiment as TOML, for those who record it; settings: its options, flat.
        named: whether the text names both networks; not so where a script has handed one in.
    """

    name: str
    game: Game
    ema: Ema
    data: DataSpec
    steps: int
    n_critic: int
    seed: int
    log_every: int
    clock: Tensor
    globals: GlobalStreams
    threads: Threads = field(factory=Threads)
    observers: Observers = field(factory=Observers)
    metrics: Mapping[str, Metric] = field(factory=dict)
    text: str = ""
    settings: Mapping[str, str | int | float | bool] = field(factory=dict)
    named: bool = True
    make_folder: Callable[[], Path] | None = None
    checkup: Checkup | None = None
    step: int = 0
    numbers: Numbers = field(factory=Numbers, init=False)
    _folder: Path | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _saving: bool = field(default=False, init=False)
    _good: Good | None = field(default=None, init=False)
    _unhealthy: UnhealthyError | None = field(default=None, init=False)  # what is to end the run
    _observed: bool = field(default=False, init=False)  # whether callbacks know of a training
    _judging: bool = field(default=False, init=False)
    _vitals: list[dict[str, Any]] = field(factory=list, init=False)  # of the last probes, for a capsule
    _damaged: int = field(default=0, init=False)  # samples, when the user was last told
    _whole: bool = field(default=True, init=False)

    # --------------------------------------------------------------------------------------------------- training

    def advance(self, steps: int = 1, watch: Callable[[Role, int], PhaseProbe] | None = None) -> None:
        """Take `steps` steps (fewer if `stop` is called). Nothing in here waits for the device.

        Args:
            watch: the taps of a network's phase, by its index; by default those of the probe, where it is due.
        """
        with self.globals(), self.game.precision.applied(), self.threads.applied():
            for _ in range(steps):
                self._whole = False
                # By the step's number, not by how far this call goes: a resumed run measures the same ones.
                measure = (self.step + 1) % self.log_every == 0
                taps = watch or (self._taps if self._is_tapped() else _nothing)
                for i in range(self.n_critic):
                    index = self.step * self.n_critic + i
                    probe = taps("discriminator", index)
                    discriminator_phase(self.game, index, self.numbers, measure=measure, probe=probe)
                probe = taps("generator", self.step)
                generator_phase(self.game, self.step, self.numbers, measure=measure, probe=probe)
                self.game.discriminator.schedule.step()
                self.game.generator.schedule.step()
                self.step += 1
                self.clock.add_(1)
                self.ema.update(self.step)
                self._whole = True
                if self.checkup:
                    self.checkup.close(self.step)
                if self._stopping or self._saving:
                    return

    def train(self) -> Ending:
        """Train to the last planned step, or until `stop` is called. No other process can train into the run folder
        meanwhile.

        Raises:
            NonFiniteError: a number of the log, or a weight, is NaN or infinite. Nothing is saved then.
            RunFailed: memory ran out.
            RunFolderError: another process trains into the run folder, or it cannot be written.
        """
        writes = self.callbacks and (self.make_folder or self._folder)
        with checkpoint.locked(self.folder) if writes else nullcontext():
            return self._train()

    def _train(self) -> Ending:
        ending: Ending = "failed"
        self._unhealthy = None  # whoever goes on after it knows
        begin, first, waited = time.monotonic(), self.step, self.game.feed.waited
        try:
            self._tell(TrainStarted, lambda callback: callback.train_started(self))
            self._observed = True
            self.game.differentiate.heard_by(self.notice)
            self.game.take.heard_by(self.notice)
            for player in (self.game.discriminator, self.game.generator):
                if player.stepper is not None:
                    player.stepper.heard_by(self.notice)
            if self.threads.number:
                self.notice(f"threads: {self.threads.number} ({self.threads.why})")
            self._remember()
            if self.checkup and not self.step:
                found = self.checkup.doctor.lint()
                for said in (*map(in_words, found.new), *found.failed):
                    self.notice(said)
            while self.step < self.steps and not self._stopping:
                self.advance(self._next_stop() - self.step)
                left = self._versions()
                self._observe()
                if self._good is not None and self._versions() != left:
                    self._good.changed[self.step] = remember(self)
                if self._saving:
                    self._saving = False
                    self.notice(f"step {self.step}: saved as {self.save()}")
                    self._end_if_unhealthy()
            if self.checkup:
                self._examine(self.checkup)
            self._end_if_unhealthy()
            ending = "interrupted" if self.step < self.steps else "finished"
            self._say_how_it_waited(self.game.feed.waited - waited, time.monotonic() - begin, self.step - first)
        except NonFiniteError as error:
            raise self._traced(error) from error
        except RunFolderError:
            self._whole = False  # the record may lack this step: a resumed run has to come by here once more
            raise
        except KeyboardInterrupt:
            self._whole = False  # the user wants an end at once, not a checkpoint
            raise
        except (RuntimeError, MemoryError) as error:
            words = shortage(error, self.device, self.batch_size, self.game.precision.name)
            if words is None:
                raise
            raise RunFailed(f"step {self.step + 1}: {words}") from error
        finally:
            self._stopping = False
            try:
                self.observers.end(self, ending)
            finally:
                self._observed = False
        return ending

    @property
    def intact(self) -> bool:
        """Whether this is the state after a whole step, with numbers that were finite: one to go back to."""
        return self._whole

    def stop(self) -> None:
        """Finish the step under way and end. Safe to call from a signal handler."""
        self._stopping = True

    def save_soon(self) -> None:
        """Finish the step under way, write a checkpoint and go on. Safe to call from a signal handler."""
        self._saving = True

    def _next_stop(self) -> int:
        """The next step at which somebody wants to look."""
        rhythms = [self.log_every, *(metric.every for metric in self.metrics.values())]
        rhythms += self.observers.rhythms()
        looks = [self.checkup.next_look(self.step)] if self.checkup else []
        return min(self.steps, *looks, *((self.step // every + 1) * every for every in rhythms))

    def _is_tapped(self) -> bool:
        """Whether a phase of the next step may be."""
        return self.checkup is not None and not self.checkup.rests(self.step, self._weighing)

    @cached_property
    def _weighing(self) -> int:
        rhythms = self.game.discriminator.slowest_penalty, self.game.generator.slowest_penalty
        return max(math.ceil(rhythms[0] / self.n_critic), rhythms[1])

    def _taps(self, role: Role, index: int) -> PhaseProbe:
        assert self.checkup is not None
        return self.checkup.taps(self.game.player(role), index, self.n_critic if role == "discriminator" else 1)

    def _examine(self, checkup: Checkup, until: float = math.inf) -> None:
        """Judge what was probed since the last time (and sent up to a step), and tell it."""
        if self._judging:  # somebody who is told saves: what is still to be judged is in that checkpoint
            return
        self._judging = True
        try:
            while (vitals := checkup.probe.next(until)) is not None:
                self._vitals = [*self._vitals[-2:], {"step": vitals.step, "numbers": dict(vitals.numbers)}]
                self._judge(checkup, vitals)
        finally:
            self._judging = False

    def _judge(self, checkup: Checkup, vitals: Vitals) -> None:
        diagnosis = checkup.doctor.examine(vitals)
        for words in diagnosis.failed:
            self.notice(words)
        self._tell(Probed, lambda callback: callback.probed(self, vitals, diagnosis.holding))
        for finding in diagnosis.new:
            if finding.severity != "note":
                self.notice(in_words(finding))
                if checkup.action == "warn":
                    logging.getLogger("gancore.health").warning(in_words(finding))
        fatal = [finding for finding in diagnosis.holding if finding.severity == "fatal"]
        if fatal and checkup.action in ("stop", "heal") and self._unhealthy is None:
            self._unhealthy = UnhealthyError(fatal, diagnosis.holding)

    def _end_if_unhealthy(self) -> None:
        error, self._unhealthy = self._unhealthy, None
        if error is not None:
            raise error

    def _observe(self) -> None:
        numbers: dict[str, float] = {}
        if self.step % self.log_every == 0 or self.step == self.steps:
            numbers |= self.look()
            self._remember()
            self._say_what_is_damaged()
        for key, metric in self.metrics.items():
            if self.step % metric.every == 0:
                numbers |= self._evaluate(key, metric)
        if numbers:
            self._tell(Logged, lambda callback: callback.logged(self, numbers))
        if self.checkup:
            self._examine(self.checkup, self.step - self.checkup.lag)
        self._end_if_unhealthy()
        self._tell(Stepped, lambda callback: callback.stepped(self), due=True)
        self._end_if_unhealthy()  # by what was judged before it was saved

    def _say_what_is_damaged(self) -> None:
        """Once at first, and again whenever there are ten times as many."""
        damaged = self.game.feed.damaged
        if damaged and len(damaged) >= 10 * self._damaged:
            self._damaged = len(damaged)
            self.notice(
                f"step {self.step}: {len(damaged)} of {len(self.game.feed)} samples could not be read and others took "
                f'their places (train.damaged = "skip"); the first: {next(iter(damaged.values()))}'
            )

    def _say_how_it_waited(self, waited: float, seconds: float, steps: int) -> None:
        """Only where it matters: a twentieth of the time, in a run long enough to tell."""
        if steps >= 100 and waited >= 0.05 * seconds:
            self.notice(f"{waited / seconds:.0%} of the time was spent waiting for data; try more train.workers")

    def _remember(self) -> None:
        """Keep the state that was just seen to be whole, so that what goes wrong after it can be repeated."""
        if self.checkup and self.checkup.recorder:
            good, self._good = self._good, None  # it is not whole while it is written over
            self._good = Good(remember(self, over=good.state if good else None))

    def _versions(self) -> list[int]:
        """How often each weight was written to: tells without waiting for the device whether observers changed one."""
        players = (self.game.generator, self.game.discriminator)
        return [parameter._version for player in players for parameter in player.parameters]

    def _traced(self, error: NonFiniteError) -> NonFiniteError:
        """The same error, with the first thing that was not finite and a capsule to repeat it."""
        if self.checkup:
            self._examine(self.checkup)  # what was measured before it belongs into the capsule
        if self.checkup is None or self._good is None or error.findings:
            return error
        step, self._whole = self.step, False
        try:
            capsule = investigate(self, self._good)
        except Exception as failure:  # what has happened is said in any case
            return NonFiniteError(f"{error}. Looking for the cause failed: {type(failure).__name__}: {failure}")
        finally:
            self._good, self.step, self._whole = None, step, False
        if capsule.sighting is None:
            return error
        finding = finding_of(capsule.sighting, capsule.step, self.checkup.doctor.facts)
        self._tell(Probed, lambda callback: callback.probed(self, Vitals(step, {}, {}), [finding]))
        said = f"{error}. First, in step {capsule.step}: {capsule.sighting}. {finding.remedy}"
        return NonFiniteError(f"{said}{self._capsule_of(capsule)}", [finding])

    def _capsule_of(self, capsule: Capsule) -> str:
        """Write the capsule; returns where it is, in words."""
        if self.make_folder is None and self._folder is None:
            return ""
        folder = self.folder / "capsules" / f"step-{capsule.step:08d}"
        kept = {**packed(capsule), "experiment": self.text, "vitals": self._vitals}
        try:
            checkpoint.write(folder, capsule.step, kept, experiment=self.text)
        except RunFolderError as error:
            return f" There is no capsule of it: {error}"
        if not self.named:
            return f" The step is kept in {folder}"
        return f" To see it again: gancore replay {folder}"

    def look(self) -> dict[str, float]:
        """The means of the numbers since the last look. Waits for the device.

        Raises:
            NonFiniteError: one of them is NaN or infinite.
        """
        numbers = self.numbers.fetch(self.game.ranks)
        for player in (self.game.discriminator, self.game.generator):
            numbers[f"lr/{player.role}"] = float(player.optimizer.param_groups[0]["lr"])
        if damaged := len(self.game.feed.damaged):
            numbers["data/damaged"] = float(damaged)
        if sick := [f"{name} is {value}" for name, value in numbers.items() if not math.isfinite(value)]:
            self._whole = False
            raise NonFiniteError(
                f"step {self.step}: {', '.join(sick)} (since the last look, at most {self.log_every} steps ago)"
            )
        return numbers

    # -------------------------------------------------------------------------------------------------- looking

    @property
    def generator(self) -> nn.Module:
        """The EMA generator, in eval mode: the one to sample from."""
        return self.ema.network

    @property
    def discriminator(self) -> nn.Module:
        return self.game.discriminator.network

    @property
    def device(self) -> torch.device:
        return self.clock.device

    @property
    def batch_size(self) -> int:
        return self.game.batch_size

    @property
    def folder(self) -> Path:
        """The run folder, made on first use: a run that only advances leaves no trace on disk."""
        if self._folder is None:
            if self.make_folder is None:
                raise RuntimeError("this run was assembled without a folder")
            self._folder = self.make_folder()
        return self._folder

    def latents(self, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """n latents that are the same every time, and labels that count through the classes."""
        return self.game.latents.fixed(n, seed)

    def reals(self, n: int) -> Tensor:
        """At most n reals, the same every time."""
        return self.game.feed.sample(n)

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Fakes `(N, *shape)` of the EMA generator, float32, batch by batch."""
        starts = range(0, len(z), self.batch_size)
        pieces = [slice(start, start + self.batch_size) for start in starts]
        with self.globals(), self.game.precision.applied(), self.threads.applied():
            return torch.cat([self.generator(z[piece], None if y is None else y[piece]).float() for piece in pieces])

    def _evaluate(self, key: str, metric: Metric) -> dict[str, float]:
        z, y = self.latents(metric.samples, derive(self.seed, f"metric {self.step}"))
        fakes = self.sample(z, y)
        with self.globals(), self.game.precision.applied(), self.threads.applied():
            found = metric.evaluate(self.reals(metric.samples), fakes)
        return {f"metric/{key}/{name}": float(value) for name, value in found.items()}

    # ----------------------------------------------------------------------------------------------------- state

    def save(self, numbers: Mapping[str, float] | None = None) -> Path:
        """Write a checkpoint of this moment into the run folder. In training, what was probed is judged before it: what
        was found belongs into it. Else it is kept to be judged.

        Args:
            numbers: what it is to be judged by, e.g. a metric.

        Raises:
            NonFiniteError: a weight is NaN or infinite; such a state is not worth keeping.
        """
        for role in (self.game.generator, self.game.discriminator):
            for name, parameter in role.network.named_parameters():
                if not bool(torch.isfinite(parameter).all()):  # waits for the device; saving has to anyway
                    raise NonFiniteError(f"step {self.step}: {role.role} parameter {name} is not finite; not saved")
        if not self.folder.is_dir():
            raise RunFolderError("is no longer there; somebody has deleted or renamed it", self.folder)
        if self.checkup and self._observed:
            self._examine(self.checkup)
        return checkpoint.save(self.folder, self.step, self.state_dict(), experiment=self.text, numbers=numbers)

    def state_dict(self) -> dict[str, Any]:
        """Everything a bit-exact resume needs. Tensors are the live ones; copy them before training on."""
        return state.taken(self)

    def load_state_dict(self, found: dict[str, Any]) -> list[str]:
        """Restore what `state_dict` returned, in a run assembled from the same experiment.

        Returns:
            what could not be restored exactly, in words; empty on the kind of device that the state is from.

        Raises:
            RunFolderError: the state is not one of this experiment.
        """
        return state.restore(self, found)

    def adopt(self, found: dict[str, Any]) -> None:
        """Go on from the state of a run with other options: weights, optimizers' moments, data order and step are taken
        over, random streams and the states of components are this run's own.

        Raises:
            RunFolderError: the networks are others.
        """
        state.adopt(self, found)

    # ------------------------------------------------------------------------------------------------- observers

    @property
    def callbacks(self) -> Mapping[str, Any]:
        """By the key that names them in checkpoints and logs."""
        return self.observers.callbacks

    def notice(self, notice: str) -> None:
        """Say one line to the user: through the callbacks that show notices, else through `logging`."""
        self.observers.notice(self, notice)

    def _tell(self, moment: type[Any], call: Callable[[Any], None], *, due: bool = False) -> None:
        self.observers.tell(self, moment, call, due=due)
