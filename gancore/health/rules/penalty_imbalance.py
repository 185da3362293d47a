"""A penalty that is far too strong or does nothing."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import ROLES, Change, Facts, Finding, History, Role, Vitals
from gancore.health.remedies import FLATTENING, penalties, regularizers, weigh

SLOW = 1e-5  # std(update) / std(weight)
LOST = 1e6  # beyond this ratio one of the two gradients is lost in the other's rounding, and its size unknown
SLOPE: dict[Role, str] = {"generator": "A", "discriminator": "discriminator/A"}
RESCALE: tuple[str, tuple[Change, ...]] = ("Rescale the penalty", ())


@component
class PenaltyImbalance:
    """The gradient of the penalties against that of the loss, in the parameters of the network they are for
    (measured on its own, as gradients add up); or, as the two balance once D has settled, a D that knows reals from
    fakes but is not allowed to score them apart. Lazy penalties count as they act: k times as strong on every k-th
    phase (Karras et al. 2020, arXiv:1912.04958, section 3.1)."""

    low: float = option(1e-3, "A ratio below this is a note.", gt(0))
    high: float = option(10.0, "A ratio above this is a warning; lazy penalties may have k times as much.", gt(1))
    gap: float = option(0.05, "mean D(x) - mean D(G(z)) below this, though D knows better, is a warning.", gt(0))
    knows: float = option(0.8, "D knows better: AUC above this.", gt(0.5), lt(1))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    explains: ClassVar[tuple[str, ...]] = (
        "critic-flat",
        "g-dominates",
        "mode-collapse",
        "vanishing-depth",
        "d-dominates",
    )

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        yield from self._muted(vitals, facts)
        for role in ROLES:
            ratio = vitals.numbers.get(f"penalty/{role}")
            if ratio is None or vitals.numbers.get(SLOPE[role]) == 0:  # the loss says nothing: that drowns in anything
                continue
            own = [t for t in regularizers(facts).values() if t.get("on", "discriminator") in (role, "both")]
            high = self.high * max([table.get("every", 1) for table in own], default=1)
            if self.low <= ratio <= high or ratio != ratio:
                continue
            drowns = ratio > high
            measured = 1 / LOST < ratio < LOST
            words, changes = (weigh(facts, (1 if drowns else 0.1) / ratio, role) if measured else None) or RESCALE
            yield Finding(
                code="penalty-imbalance",
                severity="warn" if drowns else "note",
                where=role,
                evidence={"||penalty's gradient|| / ||loss's gradient||": ratio},
                threshold=f"> {high:g}" if drowns else f"< {self.low:g}",
                cause=(
                    f"The penalty drowns the loss: the {role} learns to obey it and nothing else."
                    if drowns
                    else "The penalty does nothing against the loss."
                ),
                remedy=f"{words}.",
                changes=changes,
                link="https://arxiv.org/abs/1912.04958",
            )

    def _muted(self, vitals: Vitals, facts: Facts) -> Iterable[Finding]:
        gap, auc = vitals.numbers.get("gap"), vitals.numbers.get("auc")
        slow = vitals.numbers.get("update/discriminator", 1.0) < SLOW  # a D that has not learnt yet has no gap either
        if gap is None or auc is None or slow or not (auc > self.knows and 0 < gap < self.gap):
            return
        if not any(penalties(facts, names=FLATTENING)):  # the others let D's slope be 1
            return
        # Scores grow as 1 / weight; a gap of about 1 is what losses are made for.
        words, changes = weigh(facts, gap, names=FLATTENING) or RESCALE
        yield Finding(
            code="penalty-imbalance",
            severity="warn",
            where="discriminator",
            evidence={"score gap": gap, "auc": auc},
            threshold=f"gap < {self.gap:g} with AUC > {self.knows:g}",
            cause="The penalty drowns the loss: D knows reals from fakes but is not allowed to score them apart.",
            remedy=f"{words}.",
            changes=changes,
            link="https://arxiv.org/abs/1801.04406",
        )
