"""D says nothing about the fakes."""

from collections.abc import Iterable

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import Facts, Finding, History, Vitals
from gancore.health.remedies import learning_rate, weigh


@component
class CriticFlat:
    """Factor B, D's slope at the fakes, is nearly 0 (Mescheder et al. 2018, arXiv:1801.04406, section 4: a
    discriminator that is regularized too much, or has died)."""

    warn: float = option(1e-3, "B below this, while D cannot tell reals from fakes, is a warning.", gt(0))
    undecided: float = option(0.6, "D cannot tell: AUC below this.", gt(0.5), lt(1))
    fallen: float = option(0.01, "B below this share of its own median is a warning too.", gt(0), lt(1))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        b, auc, median = vitals.numbers.get("B"), vitals.numbers.get("auc"), history.median("B")
        if b is None or auc is None:
            return
        flat = b < self.warn and auc < self.undecided
        fallen = median is not None and b < self.fallen * median
        if not (flat or fallen):
            return
        weighed = weigh(facts, 0.25)
        words, changes = (weighed[0], (weighed[1],)) if weighed else learning_rate(facts, "discriminator", 4)
        yield Finding(
            code="critic-flat",
            severity="warn",
            where="factor B (discriminator)",
            evidence={"B": b, "auc": auc} | ({"median B": median} if median is not None else {}),
            threshold=f"B < {self.warn:g} and AUC < {self.undecided:g}"
            if flat
            else f"B < {self.fallen:g} x its median",
            cause="D is flat where the fakes are, over-regularized or dead: its gradient tells G nothing.",
            remedy=f"{words}.",
            changes=changes,
            link="https://arxiv.org/abs/1801.04406",
        )
