"""D is too steep."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import Change, Facts, Finding, History, Vitals
from gancore.health.remedies import add, constrained, learning_rate, regularizers, weigh


@component
class CriticSteep:
    """Factor B, D's slope at the fakes, is very large; or, where a gradient penalty is to hold it at 1 (Gulrajani et
    al. 2017, arXiv:1704.00028), D's slope between reals and fakes is far from 1."""

    warn: float = option(1e3, "B above this is a warning.", gt(0))
    fatal: float = option(1e5, "B above this is fatal.", gt(0))
    risen: float = option(100.0, "B above 1 and above this many times its own median is a warning too.", gt(1))
    below: float = option(0.5, "With the wgan-gp penalty: a slope below this is a warning.", gt(0), lt(1))
    above: float = option(2.0, "With the wgan-gp penalty: a slope above this is a warning.", gt(1))
    unbounded: float = option(
        20.0, "Where the loss wants a bounded slope and nothing bounds it: a slope above this.", gt(1)
    )
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    lasting: ClassVar[bool] = True
    explains: ClassVar[tuple[str, ...]] = (
        "exploding",
        "mode-collapse",
        "dead-units",
        "lr-too-high",
        "vanishing-depth",
    )

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        b, median, slope = vitals.numbers.get("B"), history.median("B"), vitals.numbers.get("slope")
        if b is not None and (b > self.warn or (median is not None and b > max(self.risen * median, 1.0))):
            words, changes = self._bound(facts)
            fatal = b > self.fatal
            limit = f"{self.fatal if fatal else self.warn:g}" if b > self.warn else f"{self.risen:g} x its median"
            yield Finding(
                code="critic-steep",
                severity="fatal" if fatal else "warn",
                where="factor B (discriminator)",
                evidence={"B": b} | ({"median B": median} if median is not None else {}),
                threshold=f"B > {limit}",
                cause="Nothing bounds D's slope, so G's gradient is as large as D likes.",
                remedy=f"{words}.",
                changes=changes,
                link="https://arxiv.org/abs/1704.00028",
            )
        elif slope is not None and facts.lipschitz and not constrained(facts) and slope > self.unbounded:
            words, changes = self._bound(facts)
            yield Finding(
                code="critic-steep",
                severity="warn",
                where="slope between reals and fakes",
                evidence={"slope": slope},
                threshold=f"slope > {self.unbounded:g}",
                cause="The loss is a distance only while D's slope is bounded, and nothing bounds it.",
                remedy=f"{words}.",
                changes=changes,
                link="https://arxiv.org/abs/1704.00028",
            )
        elif slope is not None and "wgan-gp" in regularizers(facts) and not self.below <= slope <= self.above:
            words, changes = weigh(facts, 10 if slope > self.above else 4, names=("wgan-gp",)) or (
                "Raise the penalty's weight",
                (),
            )
            yield Finding(
                code="critic-steep",
                severity="warn",
                where="slope between reals and fakes",
                evidence={"slope": slope},
                threshold=f"slope outside [{self.below:g}, {self.above:g}]",
                cause="The gradient penalty is to hold D's slope at 1, and does not.",
                remedy=f"{words}.",
                changes=changes,
                link="https://arxiv.org/abs/1704.00028",
            )

    def _bound(self, facts: Facts) -> tuple[str, tuple[Change, ...]]:
        if not constrained(facts):
            if facts.lipschitz:
                return "Add the gradient penalty wgan-gp", add("wgan-gp", weight=10.0)
            return "Add the penalty r1", add("r1", gamma=1.0)
        return weigh(facts, 4) or learning_rate(facts, "discriminator", 0.25)
