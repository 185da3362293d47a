"""Momentum with a gradient penalty."""

from collections.abc import Iterable

from gancore.components import component, gt, lt, option
from gancore.contracts import ROLES, Change, Facts, Finding
from gancore.health.remedies import regularizers


@component
class MomentumWithWganGp:
    """A critic under a gradient penalty is no stationary target: momentum makes it unstable (Arjovsky et al. 2017,
    arXiv:1701.07875, section 4; Gulrajani et al. 2017, arXiv:1704.00028, use beta1 = 0)."""

    beta1: float = option(0.7, "A beta1 above this is a warning.", gt(0), lt(1))

    def lint(self, facts: Facts) -> Iterable[Finding]:
        if "wgan-gp" not in regularizers(facts):
            return
        for role in ROLES:
            beta1 = facts.tables.get("optimizer", {}).get(role, {}).get("beta1", 0.0)
            if beta1 > self.beta1:
                yield Finding(
                    code="momentum-with-wgan-gp",
                    severity="warn",
                    where=role,
                    evidence={"beta1": beta1},
                    threshold=f"beta1 <= {self.beta1:g}",
                    cause=f"The {role}'s beta1 of {beta1:g} makes WGAN-GP unstable.",
                    remedy="Set beta1 = 0.",
                    changes=(Change(("optimizer", role, "beta1"), 0.0),),
                    link="https://arxiv.org/abs/1704.00028",
                )
