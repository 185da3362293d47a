"""D says nothing about the fakes."""

from collections.abc import Iterable

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import Facts, Finding, History, Vitals
from gancore.health.remedies import FLATTENING, learning_rate, weigh


@component
class CriticFlat:
    """Factor B, D's slope at the fakes, is 0, or nearly 0 (Mescheder et al. 2018, arXiv:1801.04406, section 4: a
    discriminator that is regularized too much, or has died).

    B is judged against its own past only. D's slope on reals would tell a D that is flat everywhere from one that is
    flat at the fakes, but costs a backward of its own on every look, and the AUC tells the two apart as well: a D that
    is flat everywhere knows nothing. Where the loss is flat (A = 0), B cannot be heard.
    """

    warn: float = option(1e-3, "B below this, while D cannot tell reals from fakes, is a warning.", gt(0))
    undecided: float = option(0.6, "D cannot tell: AUC below this.", gt(0.5), lt(1))
    fallen: float = option(0.01, "B below this share of its own median is a warning too.", gt(0), lt(1))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        b, auc, median = vitals.numbers.get("B"), vitals.numbers.get("auc"), history.median("B")
        if b is None or vitals.numbers.get("A") == 0:
            return
        if b == 0:
            threshold = "B > 0"
        elif auc is not None and b < self.warn and auc < self.undecided:
            threshold = f"B < {self.warn:g} and AUC < {self.undecided:g}"
        elif median is not None and b < self.fallen * median:
            threshold = f"B < {self.fallen:g} x its median"
        else:
            return
        words, changes = weigh(facts, 0.25, names=FLATTENING) or learning_rate(facts, "discriminator", 4)
        known = {"B": b, "auc": auc, "median B": median}
        yield Finding(
            code="critic-flat",
            severity="warn",
            where="factor B (discriminator)",
            evidence={name: value for name, value in known.items() if value is not None},
            threshold=threshold,
            cause="D is flat where the fakes are, over-regularized or dead: its gradient tells G nothing.",
            remedy=f"{words}.",
            changes=changes,
            link="https://arxiv.org/abs/1801.04406",
        )
