"""Fakes are all alike."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, le, lt, option
from gancore.contracts import Change, Facts, Finding, History, Vitals
from gancore.health.remedies import add, rate_of_generator_where_d_is_much_faster, regularizers


@component
class ModeCollapse:
    """Fakes are much closer to each other than reals are, and were less so before; or many of them are the same
    (Goodfellow 2016, arXiv:1701.00160, section 5.1.1).

    Judged in the data's own space. The diversity in D's features is shown as evidence only: a D may put all that it
    takes for fake into one place, and a healthy critic under spectral norm does (0.5, where its fakes are as diverse
    as the reals).
    """

    warn: float = option(0.5, "Diversity of fakes against reals below this is a warning.", gt(0), le(1))
    fatal: float = option(0.1, "Diversity below this is fatal.", gt(0), lt(1))
    fallen: float = option(0.8, "Only where it is below this share of its own highest value.", gt(0), le(1))
    duplicates: float = option(0.5, "The share of near-duplicates above this is a warning.", gt(0), le(1))
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    explains: ClassVar[tuple[str, ...]] = ("d-dominates", "g-dominates")

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        diversity, copies = vitals.numbers.get("diversity"), vitals.numbers.get("duplicates", 0.0)
        highest = history.highest("diversity")
        if diversity is None or highest is None:
            return
        collapsed = diversity < self.warn and (diversity < self.fallen * highest or diversity < self.fatal)
        copied = copies > self.duplicates and diversity < 0.8
        if not (collapsed or copied):
            return
        fatal = diversity < self.fatal
        known = {"diversity": diversity, "its highest": highest, "share of near-duplicates": copies}
        in_features = vitals.numbers.get("diversity/features")
        words, changes = self._remedy(facts)
        yield Finding(
            code="mode-collapse",
            severity="fatal" if fatal else "warn",
            where="generator",
            evidence=known if in_features is None else known | {"diversity in D's features": in_features},
            threshold=(
                f"diversity < {self.fatal if fatal else self.warn:g}"
                if collapsed
                else f"share of near-duplicates > {self.duplicates:g}"
            ),
            cause="Fakes are far more alike than reals: G has given up most of the data.",
            remedy=f"{words}.",
            changes=changes,
            link="https://arxiv.org/abs/2501.05441",
        )

    def _remedy(self, facts: Facts) -> tuple[str, tuple[Change, ...]]:
        changes: list[Change] = []
        words = []
        if rate := rate_of_generator_where_d_is_much_faster(facts):
            changes.append(Change(("optimizer", "discriminator", "lr"), rate))
            words.append("let both networks learn at one rate")
        missing = [name for name in ("r1", "r2") if name not in regularizers(facts)]
        if not facts.lipschitz:
            if facts.tables.get("loss", {}).get("name") != "relativistic":
                changes.append(Change(("loss", "name"), "relativistic"))
                words.append("use the relativistic loss")
            for name in missing:
                changes += add(name, gamma=0.1)
            if missing:
                words.append(f"add {' and '.join(missing)}")
        elif "wgan-gp" not in regularizers(facts):
            changes += add("wgan-gp", weight=10.0)
            words.append("add the gradient penalty wgan-gp")
        if not words:
            size = facts.tables.get("train", {}).get("batch_size", 64)
            changes.append(Change(("train", "batch_size"), 2 * size))
            words.append(f"use batches of {2 * size}")
        said = ", ".join(words)
        return said[0].upper() + said[1:], tuple(changes)
