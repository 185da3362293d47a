"""The record that an experiment file is read into: the engine's own tables, and which components were selected."""

from typing import Any, Literal

import attrs
from attrs import frozen

from gancore.components import Kind, component, ge, gt, le, option
from gancore.experiment.path import Path
from gancore.registry import Offer

# `[checkpoint]` and an experiment without `[[callback]]` select these, as if the user had written them.
DEFAULT_CHECKPOINT = "checkpoint"
# What a script may hand in as an object instead, so that the file need not name it.
PROVIDABLE = ("data", "generator", "discriminator")
DEFAULT_CALLBACKS = ("progress", "tensorboard", "stats", "samples", "health")


def _threads(_: Any, __: Any, value: Any) -> None:
    if isinstance(value, int) and not 1 <= value <= 1024:
        raise ValueError(f'must be between 1 and 1024, or "auto", not {value}')


@component
class Train:
    """How long and how to train."""

    steps: int | None = option(
        None, "Steps: one G update each, with its n_critic D updates.", attrs.validators.optional(ge(1))
    )
    epochs: float | None = option(
        None, "Instead of steps: passes of D over the data.", attrs.validators.optional([gt(0), le(1e6)])
    )
    batch_size: int = option(64, "Reals (and fakes) per phase.", ge(1))
    n_critic: int = option(1, "D updates per G update.", ge(1))
    seed: int = option(0, "Every random stream of the run derives from it.", ge(0))
    device: str = option("auto", "auto, cpu, cuda or cuda:N. auto takes a GPU where there is one.")
    precision: Literal["fp32", "tf32", "bf16"] = option(
        "fp32",
        "fp32; tf32 (GPU: faster matrix products); bf16 (autocast; penalties and losses stay in float32).",
    )
    compile: Literal["auto", "off", "networks", "phase"] = option(
        "auto",
        "off: operator by operator; networks: torch.compile on G and D, penalties aside; phase: forward, penalties and "
        "backward as one compiled graph; auto: phase where the run is long enough to win.",
    )
    capture: Literal["auto", "on", "off"] = option(
        "auto",
        "Phases as CUDA graphs, one launch each. auto: on a GPU; what cannot be captured runs as it is, and is named.",
    )
    one_pass: Literal["auto", "on", "off"] = option(
        "auto", "Reals and fakes through D in one pass; auto: where D does not mix samples (batch norm does)."
    )
    memory_format: Literal["auto", "channels_last", "contiguous"] = option(
        "auto",
        "How images lie in memory. auto: channels_last for convolutional networks, but in fp32 on a GPU.",
    )
    deterministic: bool = option(
        True,
        "Convolutions give the same bits every time. false, on a GPU: by the fastest algorithms, found by trying; a "
        "resumed run is then no longer the same to the bit.",
    )
    ema: float = option(10_000.0, "Half-life of the averaged generator, in images; 0 turns it off.", ge(0))
    ema_ramp: float = option(0.05, "Early on the half-life is at most this share of the images seen.", gt(0), le(1))
    held_out: int = option(
        0, "Reals kept from training, to tell whether D knows the others by heart (finding d-overfits).", ge(0)
    )
    damaged: Literal["stop", "skip"] = option(
        "stop",
        "A sample that cannot be read (a corrupt or vanished file) ends the run; or another takes its place, and they "
        "are counted.",
    )
    strict: bool = option(False, "A callback that fails ends the run; by default it is switched off, with a notice.")
    grace: float = option(
        60.0, "Seconds after SIGTERM to finish the step and write a checkpoint; 0: as long as it takes.", ge(0)
    )
    threads: int | Literal["auto"] = option(
        "auto",
        "CPU threads. auto: all cores for large networks, one for small ones, and never so many that they wait for "
        "each other beside other work; OMP_NUM_THREADS goes before it.",
        _threads,
    )
    workers: int = option(2, "DataLoader processes, for data that are streamed.", ge(0))


@component
class Log:
    """When to look."""

    every: int = option(50, "Steps between two looks at the numbers; each waits for the device once.", ge(1))


@component
class Health:
    """Gradient health: how often to probe, and what to do about findings. `[health.<rule>]` has a rule's thresholds."""

    every: int = option(
        50, "Steps between two probes; a look at them, every 20 steps at most, waits for the device once.", ge(1)
    )
    action: Literal["observe", "warn", "stop", "heal"] = option(
        "observe",
        "observe: say what is found; warn: also as a Python warning of the logger gancore; stop: end at a fatal "
        "finding, after a checkpoint; heal: go back to a healthy checkpoint and apply the remedy, 3 times at most.",
    )
    warm_up: int = option(500, "Steps at the start that are not judged; 1 % of the run if that is more.", ge(0))
    probe: bool = option(True, "Whether to probe at all.")
    recorder: bool = option(True, "Keep a copy of the last state, to find the step and the layer that became NaN.")
    ignore: tuple[str, ...] = option((), "Rules that are not asked.")


@frozen(eq=False)
class Selection:
    """A component that the experiment selects.

    Attributes:
        path: its table, e.g. `("regularizer", 0)`.
        options: those given, structured; what is absent has its default.
        brought_by: the table of the component whose companion this is.
    """

    path: Path
    offer: Offer
    cls: type
    options: dict[str, Any]
    brought_by: Path | None = None

    @property
    def kind(self) -> Kind:
        return self.offer.kind

    @property
    def name(self) -> str:
        return self.offer.name

    def create(self) -> Any:
        """A fresh instance, with fresh state."""
        return self.cls(**self.options)


def _defaults(cls: type[Any]) -> Any:
    return cls()


@frozen(eq=False)
class Experiment:
    """An experiment file, read. Whatever may be handed in as an object instead of by name may be None.

    Attributes:
        name: names the run folder; the file's name unless the file says otherwise.
        source: the file.
        plugins: versions of distributions that a finished run recorded, or that the author asks for.
    """

    name: str
    source: str
    train: Train
    log: Log
    loss: Selection
    optimizer_generator: Selection
    optimizer_discriminator: Selection
    checkpoint: Selection
    data: Selection | None = None
    generator: Selection | None = None
    discriminator: Selection | None = None
    regularizers: tuple[Selection, ...] = ()
    metrics: tuple[Selection, ...] = ()
    callbacks: tuple[Selection, ...] = ()
    health: Health = attrs.field(factory=lambda: _defaults(Health))
    rules: tuple[Selection, ...] = ()
    plugins: dict[str, str] = attrs.field(factory=dict)

    @property
    def selections(self) -> tuple[Selection, ...]:
        """Every selected component, each once, in the order of the plan."""
        networks = (self.generator, self.discriminator)
        single = (self.data, *networks, self.loss, self.optimizer_generator, self.optimizer_discriminator)
        several = (*self.regularizers, *self.metrics, *self.callbacks, self.checkpoint, *self.rules)
        return tuple(dict.fromkeys(selection for selection in (*single, *several) if selection is not None))
