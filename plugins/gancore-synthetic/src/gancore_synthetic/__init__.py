"""Vector data sets for gancore, and the metric that counts their modes."""

from collections.abc import Iterable

from gancore import Component, hookimpl


@hookimpl
def gancore_datasets() -> Iterable[Component]:
    return [
        Component("ring", "gancore_synthetic.ring:Ring", "Gaussians on a circle."),
        Component("grid", "gancore_synthetic.grid:Grid", "Gaussians on a square grid."),
        Component("swiss-roll", "gancore_synthetic.swiss_roll:SwissRoll", "A noisy spiral."),
    ]


@hookimpl
def gancore_metrics() -> Iterable[Component]:
    return [
        Component(
            "mode-coverage",
            "gancore_synthetic.mode_coverage:ModeCoverage",
            "Modes of ring or grid that fakes reach.",
        ),
    ]
