"""Steps that are too small."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, option
from gancore.contracts import ROLES, Facts, Finding, History, Vitals
from gancore.health.remedies import learning_rate
from gancore.health.rules.lr_too_high import USUAL


@component
class LrTooLow:
    """A network hardly moves: the median over weights of std(update) / std(weight) is far below 1e-3 (Karpathy 2015,
    CS231n notes, "Ratio of weights:updates").

    In the last tenth of a run it says nothing: rates that end at 0 are to be low there. Nor where no gradient arrives
    at all, which no rate could make up for.
    """

    warn: float = option(1e-5, "A ratio below this is a warning.", gt(0))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    explains: ClassVar[tuple[str, ...]] = (
        "g-dominates",
        "critic-flat",
        "mode-collapse",
        "d-dominates",
    )

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        if vitals.step > 0.9 * facts.steps:
            return
        for role in ROLES:
            ratio = vitals.numbers.get(f"update/{role}")
            if ratio is None or not ratio < self.warn or vitals.numbers.get(f"gradient/{role}") == 0:
                continue
            if ratio > 0:
                words, changes = learning_rate(facts, role, USUAL / ratio)
            else:
                words, changes = f"Raise the {role}'s learning rate: its steps are lost in rounding", ()
            yield Finding(
                code="lr-too-low",
                severity="warn",
                where=role,
                evidence={"std(update) / std(weight)": ratio},
                threshold=f"< {self.warn:.2g}",
                cause=f"One step changes the {role}'s weights by {ratio:.1g} of their spread; 1e-3 is usual.",
                remedy=f"{words}.",
                changes=changes,
                link="https://cs231n.github.io/neural-networks-3/#ratio",
            )
