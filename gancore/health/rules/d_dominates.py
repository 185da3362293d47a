"""D wins."""

from collections.abc import Iterable

from gancore.components import component, ge, gt, le, lt, option
from gancore.contracts import Change, Facts, Finding, History, Vitals
from gancore.health.remedies import add, learning_rate, rate_of_generator_where_d_is_much_faster, regularizers


@component
class DDominates:
    """D tells nearly every real from every fake (AUC), and G suffers from it: its fakes lose diversity, or the loss
    is saturated (Arjovsky & Bottou 2017, arXiv:1701.04862, section 2).

    A high AUC alone is no illness: critics are to be good, and scores of WGAN-GP separate well in runs that work.
    """

    auc: float = option(0.97, "AUC above this, together with one of the next two, is a warning.", gt(0.5), lt(1))
    diversity: float = option(0.8, "Diversity of fakes against reals below this.", gt(0), le(1))
    slope: float = option(0.1, "A below this.", gt(0))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        numbers = vitals.numbers
        if not {"auc", "diversity", "A"} <= numbers.keys() or not numbers["auc"] > self.auc:
            return
        if not (numbers["diversity"] < self.diversity or numbers["A"] < self.slope):
            return
        words, changes = self._remedy(facts)
        yield Finding(
            code="d-dominates",
            severity="warn",
            where="balance",
            evidence={name: numbers[name] for name in ("auc", "diversity", "A")},
            threshold=f"AUC > {self.auc:g} and (diversity < {self.diversity:g} or A < {self.slope:g})",
            cause="D tells reals from fakes so easily that what it teaches does not help G.",
            remedy=f"{words}.",
            changes=changes,
            link="https://arxiv.org/abs/1701.04862",
        )

    def _remedy(self, facts: Facts) -> tuple[str, tuple[Change, ...]]:
        if rate := rate_of_generator_where_d_is_much_faster(facts):
            return f"Let D learn at G's rate, {rate:g}", (Change(("optimizer", "discriminator", "lr"), rate),)
        if not {"r1", "wgan-gp", "dragan"} & set(regularizers(facts)):
            return "Penalise D's slope with r1", add("r1", gamma=1.0)
        return learning_rate(facts, "discriminator", 0.5)
