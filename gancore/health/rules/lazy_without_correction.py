"""A lazy penalty under an optimizer that does not know of it."""

from collections.abc import Iterable

from gancore.components import component
from gancore.contracts import ROLES, Facts, Finding


@component
class LazyWithoutCorrection:
    """With a penalty on every k-th phase, learning rate and decay rates have to be corrected by c = k/(k+1) (Karras et
    al. 2020, arXiv:1912.04958, appendix B); gancore's optimizers do that in `build`."""

    def lint(self, facts: Facts) -> Iterable[Finding]:
        for role in ROLES:
            if role in facts.lazy_uncorrected:
                name = facts.tables.get("optimizer", {}).get(role, {}).get("name", "?")
                yield Finding(
                    code="lazy-without-correction",
                    severity="note",
                    where=role,
                    evidence={},
                    threshold="lr times c, decay rates to the power of c",
                    cause=f"The {role} has a lazy penalty, but the optimizer {name} ignores it.",
                    remedy="Use an optimizer that corrects for it, or every = 1.",
                    link="https://arxiv.org/abs/1912.04958",
                )
