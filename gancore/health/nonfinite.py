"""The finding that something is not finite any more."""

from gancore.contracts import ROLES, Change, Facts, Finding, Role
from gancore.health.detective import Sighting
from gancore.health.remedies import add, learning_rate, regularizers

USUAL = 1e-3  # a learning rate that small networks bear
HIGH = 0.1  # one that they do not


def finding_of(sighting: Sighting, step: int, facts: Facts) -> Finding:
    """Always fatal. The remedy follows from the kind of thing that was seen first."""
    remedy, changes = _remedy(sighting, facts)
    return Finding(
        code="nonfinite",
        severity="fatal",
        where=sighting.where,
        evidence={},
        threshold="every number is finite",
        cause=f"In step {step} the first thing that was not finite was {sighting}.",
        remedy=remedy,
        changes=changes,
        link="https://arxiv.org/abs/1211.5063",
        step=step,
    )


def _remedy(sighting: Sighting, facts: Facts) -> tuple[str, tuple[Change, ...]]:
    if sighting.kind == "data":
        return "Look at the data: a sample is not finite.", ()
    if sighting.kind == "weight":
        return "The weights were changed between two steps, by a callback or a script; look there.", ()
    if sighting.kind == "penalty":
        if facts.tables.get("train", {}).get("precision", "fp32") != "fp32":
            return "Train in fp32.", (Change(("train", "precision"), "fp32"),)
        return "Add a small number inside the root of the penalty's norm (its plugin's code), or use another one.", ()
    role = _culprit(sighting, facts)
    rate = facts.tables.get("optimizer", {}).get(role, {}).get("lr", 0.0)
    words, changes = learning_rate(facts, role, min(0.1, USUAL / rate) if rate > 0 else 0.1)
    if not {"autoclip", "gradient-clipping"} & regularizers(facts).keys():
        return f"{words}, and clip its gradients adaptively.", (*changes, *add("autoclip", on=role))
    return f"{words}.", changes


def _culprit(sighting: Sighting, facts: Facts) -> Role:
    """The network whose rate is far too high, if it is one; else the one where it was seen."""
    options = facts.tables.get("optimizer", {})
    high = [role for role in ROLES if options.get(role, {}).get("lr", 0.0) > HIGH]
    if len(high) == 1:
        return high[0]
    return "generator" if "generator" in sighting.where else "discriminator"
