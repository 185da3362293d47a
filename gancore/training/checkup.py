"""How a run is probed and judged: which phases are tapped, and when somebody looks at what they have measured."""

import math
from functools import cached_property
from typing import Literal

from attrs import frozen

from gancore.health.doctor import Doctor
from gancore.health.probe import RARELY, WEIGHED, Probe
from gancore.health.taps import NOTHING, PhaseProbe
from gancore.training.player import Player

LOOKS = 20  # steps between two looks, at least: one costs the host as much as to judge a dozen probes
LAG = 5  # steps, on a GPU: the host runs ahead by as much, so that the GPU has something to do while the host judges


@frozen(eq=False, slots=False)
class Checkup:
    """
    Attributes:
        every: steps between two probes.
        lag: steps after which it is looked at what was sent to the host.
        recorder: whether to keep the last whole state, to find what went wrong after it.
        action: what to do about findings, see `gancore.experiment.Health`.
    """

    probe: Probe
    doctor: Doctor
    every: int
    lag: int = 0
    recorder: bool = True
    action: Literal["observe", "warn", "stop", "heal"] = "observe"

    @cached_property
    def rhythm(self) -> int:
        """Steps after which what was measured is sent to the host; and between two looks at it, which wait for it."""
        return _multiple(self.every, LOOKS)

    def next_look(self, step: int) -> int:
        """The first step after `step` with a look."""
        return max(1, (step - self.lag) // self.rhythm + 1) * self.rhythm + self.lag

    def taps(self, player: Player, index: int, phases: int) -> PhaseProbe:
        """The taps of a player's `index`-th phase, of `phases` in a step: all of it in the last one of a step that is
        probed; its penalties in the last phase of each round in which all of them are due."""
        step = index // phases
        # But for lazy penalties that is one phase: a graph for each would cost a GPU twice as much, as what has not run
        # for long is slow to start.
        rhythm, end = player.slowest_penalty, (step // self.round + 1) * self.round * phases
        whole = (step + 1) % self.every == 0 and index % phases == phases - 1
        weigh = rhythm > 0 and index % rhythm == 0 and index + rhythm >= end
        if not (whole or weigh):
            return NOTHING
        return self.probe.phase(player.role, whole=whole, weigh=weigh, rare=(step + 1) % self._rarely == 0)

    def rests(self, step: int, weighing: int) -> bool:
        """Whether no phase of a step is tapped: asked once a step, as most are not.

        Args:
            weighing: steps at the end of a round in which penalties may be due for the last time.
        """
        return (step + 1) % self.every != 0 and step % self.round < self.round - weighing

    @cached_property
    def round(self) -> int:
        """Steps in which everything is measured once."""
        return _multiple(self._rarely, WEIGHED)

    @cached_property
    def _rarely(self) -> int:
        """Steps between two measurements of what costs more than a look."""
        return _multiple(self.every, RARELY)

    def close(self, step: int) -> None:
        """After each step: what was collected in a probed one is of this step."""
        if step % self.every == 0:
            self.probe.close(step)
            if step % self.rhythm == 0:
                self.probe.send(step)


def _multiple(every: int, least: int) -> int:
    """The smallest multiple of `every` that is at least `least`."""
    return every * math.ceil(least / every)
