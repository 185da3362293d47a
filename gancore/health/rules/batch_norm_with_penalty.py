"""Penalties per sample on a D that mixes samples."""

from collections.abc import Iterable

from gancore.components import component
from gancore.contracts import Change, Facts, Finding
from gancore.health.remedies import PENALTIES, model_option, regularizers


@component
class BatchNormWithPenalty:
    """A penalty on D's slope takes the gradient of the sum of scores for the gradients of single scores, which is
    wrong where a score depends on the other samples (Gulrajani et al. 2017, arXiv:1704.00028, section 4)."""

    def lint(self, facts: Facts) -> Iterable[Finding]:
        penalties = sorted(PENALTIES.keys() & regularizers(facts).keys())
        if not (facts.mixes_samples and penalties):
            return
        change: Change | None = None
        for key in ("discriminator_norm", "norm"):
            change = change or model_option(facts, "discriminator", key, "none")
        yield Finding(
            code="batch-norm-with-penalty",
            severity="warn",
            where="discriminator",
            evidence={},
            threshold="no batch norm in D under a penalty per sample",
            cause=f"D mixes samples (batch norm), but {', '.join(penalties)} takes each sample's slope for its own.",
            remedy=f'Set {change.path[-1]} = "none".' if change else "Use a D without batch norm.",
            changes=(change,) if change else (),
            link="https://arxiv.org/abs/1704.00028",
        )
