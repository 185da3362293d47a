"""What people see of a run, and what is kept of it: ordinary callbacks, offered the way any plugin offers its own."""

from collections.abc import Iterable

from gancore.components import Component
from gancore.hookspecs import hookimpl


@hookimpl
def gancore_callbacks() -> Iterable[Component]:
    return [
        Component("health", "gancore.observe.health:Health", "health.jsonl and health.json, for gancore doctor."),
        Component(
            "progress",
            "gancore.observe.progress:Progress",
            "A progress bar; plain lines where there is no terminal.",
        ),
        Component(
            "tensorboard",
            "gancore.observe.tensorboard:TensorBoard",
            "Curves, sample grids and hparams for TensorBoard.",
        ),
        Component("stats", "gancore.observe.stats:Stats", "Every number of the log as a line of stats.jsonl."),
        Component(
            "samples",
            "gancore.observe.samples:Samples",
            "Pictures of the same latents over time, in samples/.",
        ),
        Component("checkpoint", "gancore.observe.checkpoints:Checkpoints", "Checkpoints to resume from."),
    ]
