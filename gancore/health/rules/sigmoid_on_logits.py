"""D ends in a sigmoid."""

from collections.abc import Iterable

from torch import nn

from gancore.components import component
from gancore.contracts import Facts, Finding


@component
class SigmoidOnLogits:
    """Losses take raw scores and have their own sigmoid; one more squeezes them into [0, 1] and flattens D (compare
    Goodfellow et al. 2014, arXiv:1406.2661, whose D is a probability)."""

    def lint(self, facts: Facts) -> Iterable[Finding]:
        if isinstance(facts.ends.get("discriminator"), nn.Sigmoid):
            yield Finding(
                code="sigmoid-on-logits",
                severity="fatal",
                where="discriminator",
                evidence={},
                threshold="D gives logits",
                cause="D ends in a sigmoid, but losses take logits: scores between 0 and 1 have nearly no slope left.",
                remedy="Remove the last sigmoid of the discriminator.",
                link="https://arxiv.org/abs/1406.2661",
            )
