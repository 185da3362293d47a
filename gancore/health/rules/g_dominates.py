"""G wins."""

from collections.abc import Iterable

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import Facts, Finding, History, Vitals
from gancore.health.remedies import learning_rate


@component
class GDominates:
    """D prefers fakes to reals, probe after probe: it is too slow for this G (two time scales: Heusel et al. 2017,
    arXiv:1706.08500)."""

    auc: float = option(0.45, "AUC below this is a warning.", gt(0), lt(0.5))
    patience: int = option(10, "Probes in a row before it is said.", ge(1))

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        auc = vitals.numbers.get("auc")
        if auc is None or not auc < self.auc:
            return
        words, changes = learning_rate(facts, "discriminator", 2)
        yield Finding(
            code="g-dominates",
            severity="warn",
            where="balance",
            evidence={"auc": auc},
            threshold=f"AUC < {self.auc:g} for {self.patience} probes",
            cause="D scores fakes above reals: it lags behind G and pulls it nowhere.",
            remedy=f"{words}.",
            changes=changes,
            link="https://arxiv.org/abs/1706.08500",
        )
