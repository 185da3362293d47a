"""Gradients explode, over time or over depth."""

import math
from collections.abc import Iterable

from gancore.components import component, ge, gt, option
from gancore.contracts import ROLES, Change, Facts, Finding, History, Role, Vitals
from gancore.health.remedies import add, constrained, learning_rate, regularizers


@component
class Exploding:
    """A network's gradient norm rises far above its own history, one layer's signal lies far above the last's, or
    something is not finite any more (Pascanu et al. 2013, arXiv:1211.5063)."""

    surprise: float = option(4.0, "Standard deviations of the log norm above its running mean.", gt(0))
    ratio: float = option(70.0, "The strongest layer's signal against the last layer's, where it comes from.", gt(1))
    huge: float = option(1e6, "A norm above this is fatal whatever its history.", gt(0))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        for role in ROLES:
            norm = vitals.numbers.get(f"gradient/{role}")
            if norm is None:
                continue
            z = history.surprise(f"gradient/{role}") or 0.0
            signals = {name: found["gradient"] for name, found in vitals.layers.get(role, {}).items()}
            strongest = max(signals, key=signals.__getitem__) if signals else ""
            last = list(signals.values())[-1] if signals else 1.0
            ratio = signals[strongest] / last if signals and last > 0 else 1.0
            fatal = not math.isfinite(norm) or norm > self.huge
            if not (fatal or z > self.surprise or ratio > self.ratio):
                continue
            words, changes = self._remedy(facts, role, history.median(f"gradient/{role}"))
            over_depth = not fatal and not z > self.surprise
            yield Finding(
                code="exploding",
                severity="fatal" if fatal else "warn",
                where=f"{role} {strongest}".strip() if over_depth else role,
                evidence={"norm": norm, "standard deviations": z, "strongest / last layer": ratio},
                threshold=(
                    f"strongest / last layer > {self.ratio:g}"
                    if over_depth
                    else f"not finite or > {self.huge:g}"
                    if fatal
                    else f"more than {self.surprise:g} standard deviations above its mean"
                ),
                cause=(
                    f"The gradient grows on its way back through the {role}, most at {strongest}."
                    if over_depth
                    else f"The {role}'s gradient is far larger than it used to be, or should be."
                ),
                remedy=f"{words}.",
                changes=changes,
                link="https://arxiv.org/abs/1211.5063",
            )

    def _remedy(self, facts: Facts, role: Role, usual: float | None) -> tuple[str, tuple[Change, ...]]:
        if facts.lipschitz and not constrained(facts):
            return "Nothing bounds the critic: add the gradient penalty wgan-gp", add("wgan-gp", weight=10.0)
        if "gradient-clipping" not in regularizers(facts) and "autoclip" not in regularizers(facts):
            return "Clip gradients adaptively", add("autoclip", on=role)
        return learning_rate(facts, role, 0.5)
