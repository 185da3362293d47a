"""The thresholds that findings of a run were judged by: those of its experiment.toml, else the rules' own."""

from importlib import import_module

from gancore.components import options_of
from gancore.health.record import Record

# What pictures show: rule, class, option. Rules that are here import no torch.
_SHOWN = {
    "vanishing-depth": "VanishingDepth",
    "d-dominates": "DDominates",
    "g-dominates": "GDominates",
    "mode-collapse": "ModeCollapse",
    "lr-too-high": "LrTooHigh",
    "lr-too-low": "LrTooLow",
    "dead-units": "DeadUnits",
    "loss-saturated": "LossSaturated",
}


def limit(record: Record, rule: str, option: str) -> float | None:
    """One threshold; None if the run ignores the rule."""
    ignored = record.setting("health", "ignore")
    if isinstance(ignored, list) and rule in ignored:
        return None
    given = record.setting("health", rule, option)
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1e300:
        return float(given)
    cls = getattr(import_module(f"gancore.health.rules.{rule.replace('-', '_')}"), _SHOWN[rule])
    (default,) = (field.default for field in options_of(cls) if field.name == option)
    return float(default)  # type: ignore[arg-type]  # options of these names are floats
