"""What earlier probes have shown: smoothed numbers, their medians, and how surprising a new one is."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from gancore.contracts import Role, Vitals

SMOOTHING = 0.5  # weight of the newest probe in the moving average
MEMORY = 400  # smoothed values kept per number
ENOUGH = 5  # probes before a median or a spread means something
LOG_RATE = 0.1  # weight of the newest probe in the running mean and variance of the logarithm
SPREAD = 0.2  # the least standard deviation of a logarithm: smaller fluctuations are no surprise
CREDIT = 2.0  # standard deviations that a probe may teach at most: a surprise is not to make itself usual


class History:
    """Takes the probes of a run one after the other."""

    def __init__(self) -> None:
        self._smooth: dict[str, float] = {}
        self._values: dict[str, list[float]] = {}
        self._highest: dict[str, float] = {}
        self._log: dict[str, tuple[float, float]] = {}  # running mean and variance
        self._surprise: dict[str, float] = {}

    def take(self, vitals: Vitals) -> Vitals:
        """Take in one probe and return it with smoothed numbers.

        What is not finite, or exactly 0, is not smoothed away: that nothing arrives at all is a statement of its own.
        """
        numbers = {name: self._take(name, value) for name, value in vitals.numbers.items()}
        layers: dict[Role, dict[str, dict[str, float]]] = {
            role: {
                layer: {"gradient": self._average(f"{role}/{layer}", found["gradient"]), "dead": found["dead"]}
                for layer, found in found_layers.items()
            }
            for role, found_layers in vitals.layers.items()
        }
        return Vitals(vitals.step, numbers, layers)

    def median(self, name: str) -> float | None:
        values = self._values.get(name, [])
        return median(values) if len(values) >= ENOUGH else None

    def highest(self, name: str) -> float | None:
        return self._highest.get(name)

    def surprise(self, name: str) -> float | None:
        return self._surprise.get(name) if len(self._values.get(name, [])) >= ENOUGH else None

    def state_dict(self) -> dict[str, Any]:
        return {
            "smooth": self._smooth,
            "values": self._values,
            "highest": self._highest,
            "log": {name: list(pair) for name, pair in self._log.items()},
            "surprise": self._surprise,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._smooth = dict(state["smooth"])
        self._values = {name: list(values) for name, values in state["values"].items()}
        self._highest = dict(state["highest"])
        self._log = {name: (pair[0], pair[1]) for name, pair in state["log"].items()}
        self._surprise = dict(state["surprise"])

    def _average(self, name: str, value: float) -> float:
        before = self._smooth.get(name, value)
        if value and before and math.isfinite(value) and math.isfinite(before):
            value = SMOOTHING * value + (1 - SMOOTHING) * before
        self._smooth[name] = value
        return value

    def _take(self, name: str, value: float) -> float:
        smooth = self._average(name, value)
        if not math.isfinite(smooth):
            self._surprise.pop(name, None)
            return smooth
        values = self._values.setdefault(name, [])
        values.append(smooth)
        if len(values) > MEMORY:
            del values[0]
        if smooth >= self._highest.get(name, smooth):
            self._highest[name] = smooth
        self._weigh(name, value, len(values))
        return smooth

    def _weigh(self, name: str, value: float, n: int) -> None:
        """How surprising the n-th value is, and what it teaches: the running mean and variance of the logarithm, by
        Welford's update with a rate that does not fall below LOG_RATE."""
        if value == 0:  # has no logarithm
            self._surprise.pop(name, None)
            return
        log = math.log(abs(value))
        mean, variance = self._log.get(name, (log, 0.0))
        spread = max(math.sqrt(variance), SPREAD)
        gap = log - mean
        self._surprise[name] = gap / spread
        if n > ENOUGH:  # before that nothing is known that could be surprised
            gap = max(-CREDIT * spread, min(gap, CREDIT * spread))
        rate = max(LOG_RATE, 1 / n)
        self._log[name] = (mean + rate * gap, (1 - rate) * (variance + rate * gap * gap))
