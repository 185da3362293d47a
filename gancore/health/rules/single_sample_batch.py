"""Batch norm over one sample."""

from collections.abc import Iterable

from torch import nn

from gancore.components import component
from gancore.contracts import ROLES, Change, Facts, Finding


@component
class SingleSampleBatch:
    """Batch norm has no statistics in a batch of one (Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1)."""

    def lint(self, facts: Facts) -> Iterable[Finding]:
        if facts.tables.get("train", {}).get("batch_size", 2) > 1:
            return
        for role in ROLES:
            network = getattr(facts, role)
            if network is not None and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
                yield Finding(
                    code="single-sample-batch",
                    severity="fatal",
                    where=role,
                    evidence={"batch_size": 1},
                    threshold="batch_size > 1",
                    cause=f"The {role} has batch norm, which has no statistics in a batch of one.",
                    remedy="Set batch_size to 16 or more.",
                    changes=(Change(("train", "batch_size"), 16),),
                    link="https://arxiv.org/abs/1502.03167",
                )
