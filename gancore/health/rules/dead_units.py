"""Units that no gradient reaches."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import ROLES, Change, Facts, Finding, History, Role, Vitals
from gancore.health.remedies import learning_rate, model_option

HIGH = 0.01  # a learning rate above this kills units of small networks in a few steps


@component
class DeadUnits:
    """Channels of a layer whose signal was exactly 0 for every sample of the last probes: ReLUs that are off for all
    inputs (Maas et al. 2013, "Rectifier nonlinearities improve neural network acoustic models", section 2.1).

    Probes in which nothing arrives at the network's output do not count: then the loss is flat, or D is.
    """

    warn: float = option(0.75, "A share of dead channels above this, in some layer, is a warning.", gt(0), lt(1))
    fatal: float = option(0.9, "A share above this is fatal.", gt(0), lt(1))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    early: ClassVar[bool] = True
    explains: ClassVar[tuple[str, ...]] = (
        "vanishing-depth",
        "critic-flat",
        "mode-collapse",
        "d-dominates",
        "g-dominates",
        "lr-too-low",
        "penalty-imbalance",
    )

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        for role in ROLES:
            layers = list(vitals.layers.get(role, {}).items())
            dead = {name: found["dead"] for name, found in layers[:-1]}  # the last one's outputs are no hidden units
            if not dead:
                continue
            worst = max(dead, key=dead.__getitem__)
            if not dead[worst] > self.warn:
                continue
            fatal = dead[worst] > self.fatal
            words, changes = self._remedy(facts, role)
            yield Finding(
                code="dead-units",
                severity="fatal" if fatal else "warn",
                where=f"{role} {worst}",
                evidence={"share of dead units": dead[worst]},
                threshold=f"> {self.fatal if fatal else self.warn:g}",
                cause=f"{dead[worst]:.0%} of the units of the {role}'s {worst} are off for every sample.",
                remedy=f"{words}.",
                changes=changes,
                link="https://arxiv.org/abs/1502.01852",
            )

    def _remedy(self, facts: Facts, role: Role) -> tuple[str, tuple[Change, ...]]:
        leaky = model_option(facts, role, "activation", "leaky-relu")
        words, lower = learning_rate(facts, role, 0.1)
        if leaky is None:
            return words, lower
        he = model_option(facts, role, "init", "he")
        changes = (leaky, he) if he else (leaky,)
        said = f"Use leaky ReLUs with He initialisation in the {role}"
        # What killed these units would kill others; also the other network's, which cannot be judged behind a dead one.
        for each in sorted(ROLES, key=lambda other: other != role):
            rate = facts.tables.get("optimizer", {}).get(each, {}).get("lr", 0.0)
            if rate > HIGH:
                words, lower = learning_rate(facts, each, 1e-3 / rate)
                said, changes = f"{said}, {words[0].lower()}{words[1:]}", (*changes, *lower)
        return said, changes
