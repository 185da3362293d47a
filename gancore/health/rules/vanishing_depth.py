"""A network's depth eats the gradient."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, option
from gancore.contracts import Change, Facts, Finding, History, Role, Vitals
from gancore.health.remedies import model_option

SATURATING = ("sigmoid", "tanh")


@component
class VanishingDepth:
    """The back-propagated signal dies on its way through one network (factor C): some layer hears far less than the
    layers that it hears from; rho = rms(first layer) / rms(last layer) says it of the whole (Glorot & Bengio 2010,
    section 4; He et al. 2015, arXiv:1502.01852)."""

    warn: float = option(1e-3, "A ratio below this is a warning.", gt(0))
    fatal: float = option(1e-5, "A ratio below this is fatal.", gt(0))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    explains: ClassVar[tuple[str, ...]] = (
        "critic-flat",
        "mode-collapse",
        "d-dominates",
        "g-dominates",
        "lr-too-low",
        "exploding",
    )

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        for role, layers in vitals.layers.items():
            signals = {name: found["gradient"] for name, found in layers.items()}
            if len(signals) < 2 or not max(signals.values()) > 0:
                continue
            names = list(signals)
            rho = signals[names[0]] / max(signals[names[-1]], 1e-30)
            drops = self._drops(list(signals.values()), scalar=role == "discriminator")
            depth = min(drops)
            weakest = names[drops.index(depth)]
            if not depth < self.warn:
                continue
            fatal = depth < self.fatal
            words, changes = self._remedy(facts, role)
            yield Finding(
                code="vanishing-depth",
                severity="fatal" if fatal else "warn",
                where=f"{role} {weakest}",
                evidence={"rho": rho, "rms of the layer": signals[weakest], "rms of the last": signals[names[-1]]},
                threshold=f"a layer / the strongest layer behind it < {self.fatal if fatal else self.warn:g}",
                cause=f"The gradient dies on its way back through the {role}: it does not reach {weakest}.",
                remedy=f"{words}.",
                changes=changes,
                link="https://arxiv.org/abs/1502.01852",
            )

    def _drops(self, signals: list[float], *, scalar: bool) -> list[float]:
        """For every layer but the last, its signal against the strongest that it comes from. D's last layer has one
        output, whose signal every wide layer before it has a small part of: it only counts where there is no other."""
        source = signals[:-1] if scalar and len(signals) > 2 else signals
        return [signal / max(*source[i + 1 :], 1e-30) for i, signal in enumerate(source[:-1])]

    def _remedy(self, facts: Facts, role: Role) -> tuple[str, tuple[Change, ...]]:
        table = facts.tables.get(role, {})
        changes = []
        if table.get("activation") in SATURATING:
            changes.append(model_option(facts, role, "activation", "leaky-relu"))
        if table.get("init") not in ("he", "orthogonal"):
            changes.append(model_option(facts, role, "init", "he"))
        if not any(changes) and table.get("norm") == "none":
            changes.append(model_option(facts, role, "norm", "layer"))
        found = tuple(change for change in changes if change)
        if not found:
            return "Use leaky ReLUs with He initialisation, normalisation or residual connections", ()
        return "Use " + ", ".join(f"{change.path[-1]} = {change.value!r}".replace("'", '"') for change in found), found
