"""The contracts with plugins: one Protocol per kind, and the small records that cross it.

Nothing here needs to be inherited from: a component fulfils a contract by having its attributes and methods. Where a
kind has several *moments* (regularizers, callbacks) a component has the methods of those it wants, and no others.

Shapes: N is the batch size, `(C, H, W)` an image, `(F,)` a vector. A score is D's raw output, a logit, never a
probability.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import attrs
from attrs import field, frozen

from gancore.components import KINDS, Kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import Parameter
    from torch.optim import Optimizer as TorchOptimizer
    from torch.optim.lr_scheduler import LRScheduler
    from torch.utils.data import Dataset as TorchDataset

Role = Literal["discriminator", "generator"]
ROLES: tuple[Role, Role] = ("discriminator", "generator")
On = Literal["discriminator", "generator", "both"]

# ------------------------------------------------------------------------------------------------------ records


@frozen
class DataSpec:
    """What a real sample looks like once it reaches D.

    Attributes:
        shape: `(C, H, W)` of an image or `(F,)` of a vector, without the batch.
        classes: number of labels, numbered from 0; 0 means that the data have none.
        range: lowest and highest value, e.g. `(-1.0, 1.0)` for images; None where there is no bound.
    """

    shape: tuple[int, ...]
    classes: int = 0
    range: tuple[float, float] | None = (-1.0, 1.0)

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3


@frozen
class Companion:
    """Another component that a component brings along, selected by name as if the user had written its table.

    A table of the same kind and name in the experiment takes its place.
    """

    kind: Kind = attrs.field(validator=attrs.validators.in_(KINDS))
    name: str = attrs.field(validator=attrs.validators.instance_of(str))
    options: Mapping[str, Any] = attrs.field(factory=dict)


@frozen(eq=False)
class Context:
    """What every step-time moment is handed.

    Attributes:
        rng: the component's own random stream, on the device of the networks. Draw from no other.
        step: steps finished, a 0-d float32 tensor on the device (a Python number would freeze in a captured graph).
        steps: steps of the whole run.
    """

    rng: "torch.Generator"
    step: "Tensor"
    steps: int


@frozen(eq=False)
class Phase:
    """One phase (an update of D or of G), as a penalty sees it.

    `real` and `fake` are what D was shown (after augmentation). In D's phase `fake` has no history; in G's phase it
    has, and `real` and `real_score` are None unless the loss asks for reals there. Labels are None for unlabelled data.

    Attributes:
        role: whose update this is.
        z: `(N, latent_dim)`, the latents `fake` was made from.
        real, fake: `(N, *shape)`.
        real_labels, fake_labels: `(N,)` int64.
        real_score, fake_score: `(N,)`.
    """

    role: Role
    generator: "nn.Module"
    discriminator: "nn.Module"
    z: "Tensor"
    fake: "Tensor"
    fake_score: "Tensor"
    fake_labels: "Tensor | None" = None
    real: "Tensor | None" = None
    real_score: "Tensor | None" = None
    real_labels: "Tensor | None" = None


# -------------------------------------------------------------------------------------- model, loss, optimizer


class Model(Protocol):
    """A generator and a discriminator that belong together; either can be used without the other.

    Networks: `G(z, y=None) -> (N, *data.shape)`, images in [-1, 1]; `D(x, y=None) -> score (N,)`. Both accept labels
    and ignore them unless the model is conditional. Raise `gancore.ComponentError` for data the model cannot make.

    Optional declarations, as attributes, options or properties:
        mixes_samples: bool = False. D's score of one sample depends on the others (batch norm, minibatch statistics),
            so that penalties per sample are wrong on it.
        conditional: bool = False. The networks use their labels.
    """

    @property
    def latent_dim(self) -> int: ...
    def generator(self, data: DataSpec) -> "nn.Module": ...
    def discriminator(self, data: DataSpec) -> "nn.Module": ...


class Loss(Protocol):
    """What D and G minimise, on scores of shape (N,). Losses only return scalars; backward and step are the engine's.

    Declarations:
        needs_real: whether the generator's side uses real scores (relativistic losses); otherwise it is handed None.
        boundary: `"zero"` if D's decision boundary is at score 0, `"none"` if scores have no absolute meaning
            (critics).
        lipschitz: bool = False, optional. The loss is a distance only for a D whose slope is bounded (Wasserstein), so
            that the probe measures D's slope between reals and fakes as well.
        mixes_samples: bool = False, optional. The value is not a mean over samples (or pairs): it compares a sample
            with the whole batch, and so depends on how a batch is split over processes.
    """

    needs_real: ClassVar[bool]
    boundary: ClassVar[Literal["zero", "none"]]

    def discriminator(self, real: "Tensor", fake: "Tensor") -> "Tensor": ...
    def generator(self, real: "Tensor | None", fake: "Tensor") -> "Tensor": ...


class Optimizer(Protocol):
    """Builds a torch optimizer and its learning-rate schedule.

    `build`: `lazy` is c = k/(k+1) where the network has a penalty that runs every k steps, else 1: multiply the
    learning rate by c and raise decay rates (betas, momentum) to the power of c (StyleGAN2, Karras et al. 2020,
    appendix B).

    `schedule`: the engine steps it once per step (not per phase) of `steps`. Its learning rates must be a closed form
    of the step (as `LambdaLR`'s are), so that a run that is resumed to be longer follows the new plan.
    """

    def build(self, parameters: "Iterable[Parameter]", lazy: float) -> "TorchOptimizer": ...
    def schedule(self, optimizer: "TorchOptimizer", steps: int) -> "LRScheduler": ...


# ------------------------------------------------------------------------------------------------- regularizers


@runtime_checkable
class NetworkBuilt(Protocol):
    """Changes a network after it was built and before its optimizer is (spectral norm). Returns the network to use."""

    def network_built(self, network: "nn.Module") -> "nn.Module": ...


@runtime_checkable
class DiscriminatorInputs(Protocol):
    """Changes what D is shown, reals and fakes in both phases alike (augmentation, instance noise). Differentiable."""

    def discriminator_inputs(self, x: "Tensor", context: Context) -> "Tensor": ...


@runtime_checkable
class Penalty(Protocol):
    """A scalar term added to the loss of the network's phase, in float32, with second derivatives where it needs them.

    `every`: an option. The engine calls the penalty on every k-th phase of its network only and multiplies it by k.
    `mixes_samples`: optional, as for losses.
    """

    @property
    def every(self) -> int: ...
    def penalty(self, phase: Phase, context: Context) -> "Tensor": ...


@runtime_checkable
class GradientsReady(Protocol):
    """Changes gradients in place after the whole backward and before the optimizer (clipping).

    `parameters` are those with a gradient. Returns numbers for the log as 0-d tensors on the device; may be empty.
    """

    def gradients_ready(self, parameters: "Sequence[Parameter]", context: Context) -> "Mapping[str, Tensor]": ...


@runtime_checkable
class ParametersUpdated(Protocol):
    """Changes parameters in place after the optimizer (weight clipping). Runs without gradient tracking."""

    def parameters_updated(self, parameters: "Sequence[Parameter]", context: Context) -> None: ...


# ---------------------------------------------------------------------------------------------- data and metrics


class Dataset(Protocol):
    """Real samples.

    `spec` is cheap: `gancore check` calls it on machines that may not have the data. `load` returns a map-style torch
    data set of `(value,)` or `(value, label)`. A `torch.utils.data.TensorDataset` is kept resident on the device where
    it fits; anything else is streamed by DataLoader workers. Images are uint8 tensors `(C, H, W)`, mapped to [-1, 1]
    by the engine on the device (x / 127.5 - 1); vectors are float32. Labels are int64. An index yields the same bytes
    every time.

    Raise `gancore.DataError` for data that is missing or unreadable, saying what to do.
    """

    def spec(self) -> DataSpec: ...
    def load(self) -> "TorchDataset[Any]": ...


class Metric(Protocol):
    """From reals and fakes to numbers, between steps.

    Options: `every`, the steps between two evaluations; `samples`, how many fakes (and at most as many reals) it is
    given. `real` and `fake` are float32 `(n, *shape)` on the device, in the data's range.
    """

    @property
    def every(self) -> int: ...
    @property
    def samples(self) -> int: ...
    def evaluate(self, real: "Tensor", fake: "Tensor") -> Mapping[str, float]: ...


# ------------------------------------------------------------------------------------------------ gradient health


@frozen(eq=False)
class Vitals:
    """One probe of a step: raw gradients, after the whole backward, before clipping.

    Attributes:
        step: the step that was probed, counted from 1.
        numbers: by name. With `<role>` discriminator or generator:

            `A`, `discriminator/A`          slope of the loss at D's scores, mean_i N |dL/ds_i|
            `B`                             slope of D at the fakes, mean_i ||ds_i/dx_i||
            `C`                             what G's depth makes of it: ||dL/dtheta_G|| / (A B)
            `gradient/<role>`               ||dL/dtheta||, over all parameters
            `rho/<role>`                    rms of the back-propagated signal, first layer / last layer
            `update/<role>`                 median over weights of std(update) / std(weight)
            `auc`                           P(D(x) > D(G(z))) on the batch
            `gap`                           mean D(x) - mean D(G(z))
            `auc/held-out`                  the same with reals that D never trained on (`[train] held_out`)
            `auc/seen`                      the same with reals that it did, measured in the same way
            `diversity`                     mean distance between fakes / between reals, in the data's own space
            `diversity/features`            the same in the input of D's last layer
            `duplicates`                    share of fakes with another one closer than reals ever are
            `slope`                         mean slope of D between reals and fakes (losses with `lipschitz`)
            `penalty/<role>`                ||gradient of the penalties|| / ||gradient of the loss||
        layers: by role, in the order of the forward pass: by the layer's name, `gradient` (rms of the back-propagated
            signal at its output, of the mean loss times N) and `dead` (share of its channels whose signal was exactly
            zero in all of the last probes in which one arrived at the network's output).
    """

    step: int
    numbers: Mapping[str, float]
    layers: Mapping[Role, Mapping[str, Mapping[str, float]]]


class History(Protocol):
    """What earlier probes of the run have shown."""

    def median(self, name: str) -> float | None:
        """The median of a number over the probes so far; None before there are enough."""
        ...

    def highest(self, name: str) -> float | None:
        """The highest smoothed value of a number so far."""
        ...

    def surprise(self, name: str) -> float | None:
        """How many standard deviations the log of a number lies above its own running mean."""
        ...


@frozen(eq=False)
class Facts:
    """What rules may know of an experiment.

    Attributes:
        tables: the resolved experiment, every option with its value, as plain tables; names are bare. Besides `train`
            and `loss`: `generator` and `discriminator` (their models' options), `optimizer` by role, `regularizer` by
            name (`r1-2` is the second `r1`), and `model_table`, by role the table that a model's options stand in.
        steps: of the whole run.
        boundary, lipschitz: as the loss declares them.
        mixes_samples: whether D says that it does.
        sign_statistics: names of regularizers that count the signs of scores (they declare `sign_statistics = True`).
        lazy_uncorrected: networks with a lazy penalty whose optimizer ignores it.
        generator, discriminator: the networks, to look at their modules; their parameters may have no memory.
        ends: by role, the module whose output is the network's own (its shape apart); none where a function, or what
            nobody could try, makes it.
    """

    tables: Mapping[str, Any]
    steps: int
    boundary: Literal["zero", "none"] = "none"
    lipschitz: bool = False
    mixes_samples: bool = False
    sign_statistics: tuple[str, ...] = ()
    lazy_uncorrected: tuple[Role, ...] = ()
    data: DataSpec | None = None
    generator: "nn.Module | None" = None
    discriminator: "nn.Module | None" = None
    ends: "Mapping[Role, nn.Module]" = field(factory=dict)


Severity = Literal["note", "warn", "fatal"]
SEVERITIES: tuple[Severity, ...] = ("note", "warn", "fatal")


@frozen
class Change:
    """One change of an experiment file.

    Attributes:
        path: table and key, `("optimizer", "discriminator", "lr")`. In the arrays of tables (`regularizer`, `metric`,
            `callback`) the second part is the name of a component, `r1-2` the second table of the name `r1`; a table
            that is not there is appended.
        value: the new value; None takes the key, or the whole table, away.
    """

    path: tuple[str, ...]
    value: Any = None


@frozen
class Finding:
    """Something that is wrong with the game, with its evidence and what to change.

    Attributes:
        code: the rule's name, e.g. `vanishing-depth`.
        where: the factor, network or layer, e.g. `generator layers.0`; with the code it tells findings apart. What
            begins with a role is one illness of that network, whichever of its layers is the worst at the moment.
        evidence: the numbers it is judged by.
        threshold: what they are held against, in words: `rho < 1e-3`.
        cause: one sentence.
        remedy: one sentence; changes: the same for the file. Applied together.
        link: where to read on.
        step: at which it held.
        because: the finding that explains this one, as `code where`; mend that one first.
    """

    code: str
    severity: Severity
    where: str
    evidence: Mapping[str, float]
    threshold: str
    cause: str
    remedy: str
    changes: tuple[Change, ...] = ()
    link: str = ""
    step: int = 0
    because: str = ""

    @property
    def key(self) -> str:
        """What tells findings apart: `code where`."""
        return f"{self.code} {self.where}"


@runtime_checkable
class Judges(Protocol):
    """A rule that judges what was measured.

    `vitals` holds smoothed numbers. What it returns is believed once it was returned in `patience` (an option)
    consecutive probes after the warm-up: at the same place, or anywhere in the same network (see `Finding.where`). An
    attribute `explains` may name codes that follow from this rule's findings while they hold: what is explained
    needs no remedy of its own. `lasting = True` says that they also explain what comes after them; `early = True`,
    that a fatal finding is to be believed during the warm-up already.
    """

    @property
    def patience(self) -> int: ...
    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]: ...


@runtime_checkable
class Lints(Protocol):
    """A rule that judges an experiment before its first step."""

    def lint(self, facts: Facts) -> Iterable[Finding]: ...


# ---------------------------------------------------------------------------------------------------- callbacks


class Run(Protocol):
    """A run, as a callback sees it."""

    name: str
    step: int
    steps: int
    batch_size: int
    device: "torch.device"
    intact: bool
    generator: "nn.Module"
    discriminator: "nn.Module"
    data: DataSpec

    @property
    def folder(self) -> Path: ...
    @property
    def text(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, str | int | float | bool]: ...
    def latents(self, n: int, seed: int) -> "tuple[Tensor, Tensor | None]": ...
    def sample(self, z: "Tensor", y: "Tensor | None" = None) -> "Tensor": ...
    def reals(self, n: int) -> "Tensor": ...
    def save(self, numbers: Mapping[str, float] | None = None) -> Path: ...
    def notice(self, notice: str) -> None: ...


@runtime_checkable
class TrainStarted(Protocol):
    """Called once, before the first step (`run.step` is above 0 when a run is resumed)."""

    def train_started(self, run: Run) -> None: ...


@runtime_checkable
class Logged(Protocol):
    """Called every `[log] every` steps with the means of that interval. The numbers were fetched once for all
    callbacks."""

    def logged(self, run: Run, numbers: Mapping[str, float]) -> None: ...


@runtime_checkable
class Stepped(Protocol):
    """Called whenever `run.step` is a multiple of the callback's option `every`, and at the last step."""

    @property
    def every(self) -> int: ...
    def stepped(self, run: Run) -> None: ...


@runtime_checkable
class Noticed(Protocol):
    """Called when the run, or a callback through `run.notice`, has something to say to the user: one line of words."""

    def noticed(self, run: Run, notice: str) -> None: ...


@runtime_checkable
class Probed(Protocol):
    """Called once for every probe, `[health] every` steps apart, with what was measured and all findings that hold.
    Probes of neighbouring steps are told together, some steps later: `vitals.step` is the step of the probe."""

    def probed(self, run: Run, vitals: Vitals, findings: Sequence[Finding]) -> None: ...


Ending = Literal["finished", "interrupted", "failed"]


@runtime_checkable
class TrainEnded(Protocol):
    """Called once at the end, whatever the end was; the last callback first, so that checkpoints come before
    farewells."""

    def train_ended(self, run: Run, ending: Ending) -> None: ...


@runtime_checkable
class Stateful(Protocol):
    """Anything whose state belongs into a checkpoint. A state is a tree of tensors, numbers, strings, lists and
    dicts."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
