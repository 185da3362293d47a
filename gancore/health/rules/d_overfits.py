"""D knows its reals by heart."""

from collections.abc import Iterable
from typing import ClassVar

from gancore.components import component, ge, gt, lt, option
from gancore.contracts import Facts, Finding, History, Vitals
from gancore.health.remedies import add, regularizers


@component
class DOverfits:
    """D tells training reals from fakes much better than reals that it never saw (Karras et al. 2020,
    arXiv:2006.06676, section 2). Needs `[train] held_out`."""

    warn: float = option(
        0.2, "AUC on training reals minus AUC on held-out reals above this is a warning.", gt(0), lt(1)
    )
    patience: int = option(3, "Probes in a row before it is said.", ge(1))

    explains: ClassVar[tuple[str, ...]] = ("d-dominates", "mode-collapse")

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        seen, held_out = vitals.numbers.get("auc/seen"), vitals.numbers.get("auc/held-out")
        if seen is None or held_out is None or not seen - held_out > self.warn:
            return
        is_image = facts.data is not None and facts.data.is_image
        if is_image and "diffaugment" not in regularizers(facts):
            words, changes = "Augment what D is shown, with diffaugment", add("diffaugment")
        elif "instance-noise" not in regularizers(facts):
            words, changes = "Blur what D is shown, with instance-noise", add("instance-noise")
        else:
            words, changes = "Get more data, or a smaller D", ()
        yield Finding(
            code="d-overfits",
            severity="warn",
            where="discriminator",
            evidence={"auc on training reals": seen, "auc on held-out reals": held_out},
            threshold=f"difference > {self.warn:g}",
            cause="D knows its training images by heart: to reals that it never saw it is as strict as to fakes.",
            remedy=f"{words}.",
            changes=changes,
            link="https://arxiv.org/abs/2006.06676",
        )
