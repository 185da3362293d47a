"""Steps that are too large."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, option
from gancore.contracts import ROLES, Facts, Finding, History, Vitals
from gancore.health.remedies import learning_rate

USUAL = 1e-3  # the rule of thumb for std(update) / std(weight)


@component
class LrTooHigh:
    """A network moves by too large a share of its weights in one step: the median over weights of std(update) /
    std(weight), about 1e-3 in runs that learn (Karpathy 2015, CS231n notes, "Ratio of weights:updates")."""

    warn: float = option(0.05, "A ratio above this is a warning.", gt(0))
    fatal: float = option(0.1, "A ratio above this is fatal.", gt(0))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    early: ClassVar[bool] = True
    lasting: ClassVar[bool] = True  # what it has broken stays broken when the steps become smaller
    explains: ClassVar[tuple[str, ...]] = (
        "exploding",
        "critic-flat",
        "dead-units",
        "vanishing-depth",
        "mode-collapse",
        "d-dominates",
        "g-dominates",
        "loss-saturated",
        "penalty-imbalance",
        "lr-too-low",
    )

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        for role in ROLES:
            ratio = vitals.numbers.get(f"update/{role}")
            if ratio is None or not ratio > self.warn:
                continue
            fatal = ratio > self.fatal
            words, changes = learning_rate(facts, role, max(USUAL / ratio, 1e-4))
            yield Finding(
                code="lr-too-high",
                severity="fatal" if fatal else "warn",
                where=role,
                evidence={"std(update) / std(weight)": ratio},
                threshold=f"> {self.fatal if fatal else self.warn:.2g}",
                cause=f"One step changes the {role}'s weights by {ratio:.2%} of their spread; 0.1 % is usual.",
                remedy=f"{words}.",
                changes=changes,
                link="https://cs231n.github.io/neural-networks-3/#ratio",
            )
