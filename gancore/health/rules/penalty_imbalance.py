"""A penalty that is far too strong or does nothing."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import ROLES, Facts, Finding, History, Vitals
from gancore.health.remedies import PENALTIES, regularizers, weigh

SLOW = 1e-5  # std(update) / std(weight)


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
            if ratio is None:
                continue
            every = max([table.get("every", 1) for table in regularizers(facts).values()], default=1)
            high = self.high * every
            if self.low <= ratio <= high or ratio != ratio:
                continue
            drowns = ratio > high
            weighed = weigh(facts, (1 if drowns else 0.1) / max(ratio, 1e-9)) if self._known(facts) else None
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
                remedy=f"{weighed[0]}." if weighed else "Rescale the penalty.",
                changes=(weighed[1],) if weighed else (),
                link="https://arxiv.org/abs/1912.04958",
            )

    def _muted(self, vitals: Vitals, facts: Facts) -> Iterable[Finding]:
        gap, auc = vitals.numbers.get("gap"), vitals.numbers.get("auc")
        slow = vitals.numbers.get("update/discriminator", 1.0) < SLOW  # a D that has not learnt yet has no gap either
        if (
            gap is None
            or auc is None
            or slow
            or not self._known(facts)
            or not (auc > self.knows and 0 < gap < self.gap)
        ):
            return
        weighed = weigh(facts, gap)  # scores grow as 1 / weight; a gap of about 1 is what losses are made for
        yield Finding(
            code="penalty-imbalance",
            severity="warn",
            where="discriminator",
            evidence={"score gap": gap, "auc": auc},
            threshold=f"gap < {self.gap:g} with AUC > {self.knows:g}",
            cause="The penalty drowns the loss: D knows reals from fakes but is not allowed to score them apart.",
            remedy=f"{weighed[0]}." if weighed else "Rescale the penalty.",
            changes=(weighed[1],) if weighed else (),
            link="https://arxiv.org/abs/1801.04406",
        )

    def _known(self, facts: Facts) -> bool:
        return bool(PENALTIES.keys() & regularizers(facts).keys())
