"""The loss is flat where D puts the fakes."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import Change, Facts, Finding, History, Vitals
from gancore.health.remedies import add, learning_rate, rate_of_generator_where_d_is_much_faster, regularizers


@component
class LossSaturated:
    """Factor A, the slope of G's loss at D's scores, is nearly 0 while D is ahead (Arjovsky & Bottou 2017,
    arXiv:1701.04862, theorem 2.4).

    Losses that are linear for G (hinge, Wasserstein) have A = 1 and cannot saturate.
    """

    warn: float = option(0.05, "A below this is a warning.", gt(0))
    fatal: float = option(1e-3, "A below this is fatal.", gt(0))
    ahead: float = option(0.9, "Only where D tells reals from fakes at least this well (AUC).", ge(0.5), lt(1))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    explains: ClassVar[tuple[str, ...]] = (
        "d-dominates",
        "mode-collapse",
        "lr-too-low",
        "dead-units",
    )

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        a, auc = vitals.numbers.get("A"), vitals.numbers.get("auc")
        if a is None or auc is None or not a < self.warn or not auc >= self.ahead:
            return
        remedy, changes = self._remedy(facts)
        fatal = a < self.fatal
        yield Finding(
            code="loss-saturated",
            severity="fatal" if fatal else "warn",
            where="factor A (loss)",
            evidence={"A": a, "auc": auc},
            threshold=f"A < {self.fatal if fatal else self.warn:g} and AUC >= {self.ahead:g}",
            cause="D is so sure that G's loss is flat at its scores: hardly any gradient leaves the loss.",
            remedy=remedy,
            changes=changes,
            link="https://arxiv.org/abs/1701.04862",
        )

    def _remedy(self, facts: Facts) -> tuple[str, tuple[Change, ...]]:
        if facts.tables.get("loss", {}).get("name") == "minimax":
            several = [Change(("loss", "name"), "nonsaturating")]
            said = ["Use the non-saturating loss"]
            if "r1" not in regularizers(facts):
                several += add("r1", gamma=0.1)
                said.append("penalise D's slope with r1")
            if rate := rate_of_generator_where_d_is_much_faster(facts):
                several.append(Change(("optimizer", "discriminator", "lr"), rate))
                said.append(f"let D learn at G's rate, {rate:g}")
            return f"{', '.join(said)}.", tuple(several)
        if "r1" not in regularizers(facts):
            return "Penalise D's slope with r1.", add("r1", gamma=1.0)
        words, changes = learning_rate(facts, "discriminator", 0.25)
        return f"{words}.", changes
