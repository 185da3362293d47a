"""Signs of scores that have no zero."""

from collections.abc import Iterable

from gancore.components import component
from gancore.contracts import Facts, Finding


@component
class SignsWithoutBoundary:
    """Statistics of the signs of scores (ADA's r_t: Karras et al. 2020, arXiv:2006.06676, equation 1) mean something
    only where the loss puts D's boundary at 0."""

    def lint(self, facts: Facts) -> Iterable[Finding]:
        if facts.sign_statistics and facts.boundary != "zero":
            name = facts.tables.get("loss", {}).get("name", "?")
            yield Finding(
                code="signs-without-boundary",
                severity="warn",
                where=", ".join(facts.sign_statistics),
                evidence={},
                threshold="a loss with its boundary at 0",
                cause=f"It counts the signs of scores, but with the loss {name} a score of 0 means nothing.",
                remedy="Use a loss with a boundary at 0, such as nonsaturating or hinge, or a fixed augmentation.",
                link="https://arxiv.org/abs/2006.06676",
            )
