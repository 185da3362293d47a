"""G cannot reach its data."""

from collections.abc import Iterable

from torch import nn

from gancore.components import component
from gancore.contracts import Facts, Finding

REACH: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.ReLU: (0.0, float("inf")),
    nn.Tanh: (-1.0, 1.0),
    nn.Softplus: (0.0, float("inf")),
}


@component
class OutputRange:
    """G's last activation cannot give the values that the data have, so that D tells fakes by their range alone
    (Radford et al. 2015, arXiv:1511.06434, section 4: images in the range of tanh)."""

    def lint(self, facts: Facts) -> Iterable[Finding]:
        last = facts.ends.get("generator")
        if last is None or type(last) not in REACH or facts.data is None or facts.data.range is None:
            return
        low, high = REACH[type(last)]
        if low > facts.data.range[0] or high < facts.data.range[1]:
            yield Finding(
                code="output-range",
                severity="warn",
                where="generator",
                evidence={"lowest of G": low, "highest of G": high},
                threshold=f"the data's range, {facts.data.range}",
                cause=f"G ends in {type(last).__name__}, which reaches [{low:g}, {high:g}]; the data are elsewhere.",
                remedy="End the generator in tanh.",
                link="https://arxiv.org/abs/1511.06434",
            )
