"""For every check of the kit: a component that is wrong in just that way, and the message its author gets."""

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import TensorDataset

from gancore import (
    Change,
    Component,
    ComponentError,
    DataSpec,
    Facts,
    Finding,
    History,
    Vitals,
    component,
    ge,
    option,
    required,
    state,
)
from gancore.registry import Offer, Plugin
from gancore.testing.kit import ROOMS, Subject, Violation


def subject_of(kind: str, cls: type) -> Subject:
    target = Component("wrong", f"{__name__.rpartition('.')[2]}:{cls.__name__}", "Wrong on purpose.")
    return Subject(Offer(kind, target, Plugin("wrong-plugin", "1.0", "wrong")), cls, {})  # type: ignore[arg-type]


def run(kind: str, check: str, cls: type) -> None:
    for room in ("common", ROOMS[kind]):  # type: ignore[index]
        function: Callable[[Subject], None] | None = getattr(import_module(f"gancore.testing.{room}"), check, None)
        if function is not None:
            return function(subject_of(kind, cls))
    raise LookupError(check)


# ------------------------------------------------------------------------------------------------------------ losses


@component
class GoodLoss:
    """The non-saturating loss (Goodfellow et al. 2014, arXiv:1406.2661)."""

    needs_real: ClassVar[bool] = False
    boundary: ClassVar[Literal["zero", "none"]] = "zero"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return nn.functional.softplus(-fake).mean()


@component
class NoSource:
    """A loss."""


@component
class NoDocstring:
    pass


@component
class NoDocOfOption(GoodLoss):
    weight: float = option(1.0, "")


@component
class NoTypeOfOption(GoodLoss):
    weight: Any = option(1.0, "Weight.")


@component
class BadDefault(GoodLoss):
    weight: float = option(-1.0, "Weight.", ge(0))


@component
class NotToml(GoodLoss):
    weights: set[int] = option(frozenset({1}), "Weights.")


@component
class HalfState(GoodLoss):
    def state_dict(self) -> dict[str, Any]:
        return {}


@component
class ForgetfulState(GoodLoss):
    memory: list[int] = state(list)

    def state_dict(self) -> dict[str, Any]:
        self.memory.append(1)
        return {"memory": list(self.memory)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


@component
class NoFacts:
    """A loss (2020)."""


@component
class NoBoundary(NoFacts):
    needs_real: ClassVar[bool] = False


@component
class NotAScalar(GoodLoss):
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return nn.functional.softplus(-fake)


@component
class Overflows(GoodLoss):
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return -torch.log(torch.sigmoid(fake)).mean()


@component
class ChangesDtype(GoodLoss):
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return super().generator(real, fake).float()


@component
class FirstSampleOnly(GoodLoss):
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return nn.functional.softplus(-fake[0])


@component
class Detaches(GoodLoss):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return nn.functional.softplus(-real).mean() + fake.mean() * fake.detach().mean()


@component
class NoGradient(GoodLoss):
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return (fake * 0).sum() + 1


@component
class NeedsRealsSecretly(GoodLoss):
    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        return nn.functional.softplus(real - fake).mean()


@component
class Items(GoodLoss):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = super().discriminator(real, fake)
        if loss.item() > 3:
            loss = loss / 2
        return loss


@component
class Branches(GoodLoss):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = super().discriminator(real, fake)
        return loss / 2 if loss > 3 else loss


@component
class Selects(GoodLoss):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(real[real < 1], fake)


@component
class GoesToCpu(GoodLoss):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(real.cpu(), fake.cpu())


@component
class MakesOnCpu(GoodLoss):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(real + torch.zeros(len(real)), fake)


# ------------------------------------------------------------------------------------------------------- regularizers

D_ONLY = Literal["discriminator"]


@component
class GoodPenalty:
    """A squared score (Karras et al. 2018, arXiv:1710.10196)."""

    on: D_ONLY = option("discriminator", "The network it is for.")
    every: int = option(1, "Every k-th phase.")

    def penalty(self, phase: Any, context: Any) -> Tensor:
        return phase.real_score.square().mean()


@component
class NoOn:
    """R1 (2018)."""


@component
class OnAnything:
    on: str = option("discriminator", "The network it is for.")


@component
class NoMoment:
    on: D_ONLY = option("discriminator", "The network it is for.")


@component
class NoEvery:
    on: D_ONLY = option("discriminator", "The network it is for.")

    def penalty(self, phase: Any, context: Any) -> Tensor:
        return phase.real_score.square().mean()


@component
class EveryIsFloat(GoodPenalty):
    every: float = option(1.0, "Every k-th phase.")


@component
class PenaltyIsVector(GoodPenalty):
    def penalty(self, phase: Any, context: Any) -> Tensor:
        return phase.real_score.square()


@component
class NoSecondOrder(GoodPenalty):
    def penalty(self, phase: Any, context: Any) -> Tensor:
        x = phase.real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(phase.discriminator(x).sum(), x)
        return gradient.square().sum()


@component
class HalfDetached(GoodPenalty):
    def penalty(self, phase: Any, context: Any) -> Tensor:
        return (phase.real_score * phase.real_score.detach()).mean()


@component
class GlobalNoise(GoodPenalty):
    def penalty(self, phase: Any, context: Any) -> Tensor:
        return (phase.real_score + torch.randn_like(phase.real_score)).square().mean()


@component
class SyncsInPenalty(GoodPenalty):
    def penalty(self, phase: Any, context: Any) -> Tensor:
        loss = phase.real_score.square().mean()
        if loss.item() > 3:
            loss = loss * 0
        return loss


@component
class Crops:
    on: D_ONLY = option("discriminator", "The network it is for.")

    def discriminator_inputs(self, x: Tensor, context: Any) -> Tensor:
        return x[..., 1:]


@component
class Quantises:
    on: D_ONLY = option("discriminator", "The network it is for.")

    def discriminator_inputs(self, x: Tensor, context: Any) -> Tensor:
        return (x * 0).round() + x.detach()


@component
class ReportsFloats:
    on: D_ONLY = option("discriminator", "The network it is for.")

    def gradients_ready(self, parameters: Any, context: Any) -> Any:
        return {"norm": 1.0}


@component
class TakesGradients(ReportsFloats):
    def gradients_ready(self, parameters: Any, context: Any) -> Any:
        parameters[0].grad = None
        return {}


@component
class NoNetwork:
    on: D_ONLY = option("discriminator", "The network it is for.")

    def network_built(self, network: nn.Module) -> nn.Module:
        return nn.Flatten()


# ------------------------------------------------------------------------------------------------------------- models


class Scores(nn.Module):
    def __init__(self, data: DataSpec, *extra: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(int(torch.Size(data.shape).numel()), 1), *extra)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        score: Tensor = self.layers(x)
        return score.squeeze(1)


class Makes(nn.Module):
    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.shape = data.shape
        self.layer = nn.Linear(3, int(torch.Size(data.shape).numel()))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layer(z).tanh().reshape(-1, *self.shape)


@component
class GoodModel:
    """One layer (Rosenblatt 1958)."""

    latent_dim: int = option(3, "Length of z.")

    def generator(self, data: DataSpec) -> nn.Module:
        return Makes(data)

    def discriminator(self, data: DataSpec) -> nn.Module:
        return Scores(data)


@component
class NoLatentDim:
    """None (1958)."""


@component
class RefusesAll(GoodModel):
    def generator(self, data: DataSpec) -> nn.Module:
        raise ComponentError("not today")


@component
class FlatImages(GoodModel):
    def generator(self, data: DataSpec) -> nn.Module:
        class Flat(Makes):
            def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
                return super().forward(z).flatten(1)

        return Flat(data)


@component
class LeavesRange(GoodModel):
    def generator(self, data: DataSpec) -> nn.Module:
        class Unbounded(Makes):
            def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
                return 100 * super().forward(z, y)

        return Unbounded(data)


@component
class KeepsColumn(GoodModel):
    def discriminator(self, data: DataSpec) -> nn.Module:
        class Column(Scores):
            def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
                return super().forward(x)[:, None]

        return Column(data)


@component
class Probabilities(GoodModel):
    def discriminator(self, data: DataSpec) -> nn.Module:
        return Scores(data, nn.Sigmoid())


@component
class Unused(GoodModel):
    def discriminator(self, data: DataSpec) -> nn.Module:
        network = Scores(data)
        network.spare = nn.Linear(1, 1)
        return network


@component
class MixesSecretly(GoodModel):
    def discriminator(self, data: DataSpec) -> nn.Module:
        class Centred(Scores):
            def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
                score = super().forward(x)
                return score - score.mean()

        return Centred(data)


@component
class ConditionalInName(GoodModel):
    conditional: bool = option(False, "Use labels.")


@component
class OwnSeed(GoodModel):
    def generator(self, data: DataSpec) -> nn.Module:
        network = Makes(data)
        with torch.no_grad():
            network.layer.bias.copy_(torch.full_like(network.layer.bias, float(next(COUNTER))))
        return network


COUNTER = iter(range(1000))


# --------------------------------------------------------------------- optimizers, datasets, metrics, callbacks


@component
class GoodOptimizer:
    """Gradient descent (Cauchy 1847)."""

    def build(self, parameters: Any, lazy: float) -> Any:
        return torch.optim.SGD(parameters, lr=0.01 * lazy)

    def schedule(self, optimizer: Any, steps: int) -> Any:
        return LambdaLR(optimizer, lambda step: 1 / (1 + step))


@component
class BuildsNothing(GoodOptimizer):
    def build(self, parameters: Any, lazy: float) -> Any:
        return None

    def schedule(self, optimizer: Any, steps: int) -> Any:
        return None


@component
class NoSchedule(GoodOptimizer):
    def schedule(self, optimizer: Any, steps: int) -> Any:
        return None


@component
class Climbs(GoodOptimizer):
    def build(self, parameters: Any, lazy: float) -> Any:
        return torch.optim.SGD(parameters, lr=0.01 * lazy, maximize=True)


@component
class IgnoresLazy(GoodOptimizer):
    def build(self, parameters: Any, lazy: float) -> Any:
        return torch.optim.SGD(parameters, lr=0.01)


@component
class ScheduleStartsAnew(GoodOptimizer):
    def schedule(self, optimizer: Any, steps: int) -> Any:
        class Forgets(LambdaLR):
            def load_state_dict(self, state_dict: Any) -> None:
                pass

        return Forgets(optimizer, lambda step: 1 / (1 + step))


@component
class HidesState(GoodOptimizer):
    def build(self, parameters: Any, lazy: float) -> Any:
        class Hides(torch.optim.SGD):
            velocity = 0.0

            def step(self, closure: Any = None) -> Any:
                self.velocity = self.velocity + 0.001
                with torch.no_grad():
                    self.param_groups[0]["params"][0].sub_(self.velocity)
                return super().step(closure)

        return Hides(parameters, lr=0.01 * lazy)


@component
class GoodData:
    """Noise."""

    def spec(self) -> DataSpec:
        return DataSpec((2,), classes=2, range=None)

    def load(self) -> Any:
        rng = torch.Generator().manual_seed(0)
        return TensorDataset(torch.randn(20, 2, generator=rng), torch.arange(20) % 2)


@component
class OddShape(GoodData):
    def spec(self) -> DataSpec:
        return DataSpec((28, 28))


@component
class OtherDtype(GoodData):
    def load(self) -> Any:
        return TensorDataset(torch.zeros(20, 2).double(), torch.zeros(20).long())


@component
class LabelTooHigh(GoodData):
    def load(self) -> Any:
        return TensorDataset(torch.zeros(20, 2), torch.arange(20))


@component
class DrawsAnew(GoodData):
    def load(self) -> Any:
        return TensorDataset(torch.randn(20, 2), torch.zeros(20).long())


@component
class WrongError(GoodData):
    root: str = required("Folder.")

    def load(self) -> Any:
        return open(self.root + "/images.bin")


@component
class GoodMetric:
    """A mean."""

    every: int = option(100, "Steps.")
    samples: int = option(100, "Samples.")

    def evaluate(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        return {"mean": float(fake.mean())}


@component
class NoRhythm:
    samples: int = option(100, "Samples.")


@component
class NotFinite(GoodMetric):
    def evaluate(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        return {"ratio": float("inf")}


@component
class Noisy(GoodMetric):
    def evaluate(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        return {"mean": float(torch.rand(()))}


@component
class NeverCalled:
    def stepped(self, run: Any) -> None:
        pass


@component
class DoesNothing:
    pass


@component
class FloatRhythm:
    every: float = option(10.0, "Steps.")

    def stepped(self, run: Any) -> None:
        pass


@component
class ClosesWhatItNeverOpened:
    file: Any = state(lambda: None)

    def train_ended(self, run: Any, ending: str) -> None:
        self.file.close()


@component
class CountsOnEveryNumber:
    """Fails in the middle of a run."""

    def logged(self, run: Any, numbers: Any) -> None:
        raise KeyError("metric/quality")


@component
class CountsOnOneRule:
    """Knows the evidence of one rule only."""

    def probed(self, run: Any, vitals: Vitals, findings: Any) -> None:
        for finding in findings:
            finding.evidence["rho"]


@component
class SumsInsteadOfMeans(GoodLoss):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return nn.functional.softplus(-real).sum() + nn.functional.softplus(fake).sum()


@component
class ComparesWithTheBatch(GoodLoss):
    """A relativistic average loss that does not say so (Jolicoeur-Martineau 2018, arXiv:1807.00734)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return nn.functional.softplus(fake.mean() - real).mean() + nn.functional.softplus(fake - real.mean()).mean()


@component
class PullsWeightsTowardsItsHalf:
    """Changes weights by what this process alone has seen."""

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    every: int = option(1, "Rhythm.", ge(1))
    seen: list[Tensor] = state(list)

    def penalty(self, phase: Any, context: Any) -> Tensor:
        self.seen[:] = [phase.real.mean().detach()]
        return phase.real_score.mean()

    def parameters_updated(self, parameters: Any, context: Any) -> None:
        for parameter in parameters:
            parameter.mul_(1 - 0.1 * self.seen[0])


_CALLS = {"n": 0}


@component
class CountsOutOfSight:
    """A graph has the count of the phase in which it was made."""

    on: Literal["discriminator"] = option("discriminator", "The network it is for.")
    every: int = option(1, "Rhythm.", ge(1))

    def penalty(self, phase: Any, context: Any) -> Tensor:
        _CALLS["n"] += 1
        return phase.real_score.mean() * (_CALLS["n"] % 2)


@component
class StepsByCounting(GoodOptimizer):
    """A graph has the count of the step in which it was made."""

    def build(self, parameters: Any, lazy: float) -> Any:
        class Counts(torch.optim.Optimizer):
            @torch.no_grad()
            def step(self, closure: Any = None) -> Any:
                _CALLS["n"] += 1
                for parameter in self.param_groups[0]["params"]:
                    parameter.sub_(parameter.grad * self.param_groups[0]["lr"] * (_CALLS["n"] % 2))

        return Counts(parameters, {"lr": 0.1 * lazy})


@component
class SharpensByCounting(GoodLoss):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        _CALLS["n"] += 1
        return super().discriminator(real, fake) * (_CALLS["n"] % 3)


class CountsItsScores(GoodModel):
    def discriminator(self, data: DataSpec) -> nn.Module:
        network = super().discriminator(data)

        def scaled(module: nn.Module, inputs: Any, score: Tensor) -> Tensor:
            _CALLS["n"] += 1
            return score * (_CALLS["n"] % 5)

        network.register_forward_hook(scaled)
        return network


class _Waits(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        if self.param_groups[0]["params"][0].grad.norm() > 10:
            return None
        return super().step(closure)


@component
class SkipsLargeSteps(GoodOptimizer):
    def build(self, parameters: Any, lazy: float) -> Any:
        return _Waits(parameters, lr=0.1 * lazy)


# ------------------------------------------------------------------------------------------------------------- rules


def ill(**changes: Any) -> Finding:
    """A finding as it should be, but for the changes."""
    right = {
        "code": "wrong",
        "severity": "warn",
        "where": "loss",
        "evidence": {"A": 0.0},
        "threshold": "A < 0.05",
        "cause": "The loss is flat.",
        "remedy": "Lower the learning rate of D.",
        "changes": (Change(("optimizer", "discriminator", "lr"), 1e-4),),
    }
    return Finding(**(right | changes))


@component
class GoodRule:
    """A loss whose slope is gone (Arjovsky & Bottou 2017, arXiv:1701.04862)."""

    patience: int = option(3, "Probes in a row.", ge(1))

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        if vitals.numbers.get("A", 1.0) < 0.05:
            yield ill()

    def lint(self, facts: Facts) -> Iterable[Finding]:
        if facts.tables.get("train", {}).get("batch_size", 64) < 2:
            yield ill(where="batch")


@component
class NeverFinds:
    """A rule without a moment (2017)."""


@component
class NoPatience:
    """A rule that the doctor does not ask (2017)."""

    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        return ()


@component
class FloatPatience(GoodRule):
    patience: float = option(3.0, "Probes in a row.")


@component
class FixedPatience(NoPatience):
    patience: ClassVar[int] = 3


@component
class CountsOnHeldOutReals(GoodRule):
    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        if vitals.numbers["auc/seen"] - vitals.numbers["auc/held-out"] > 0.2:
            yield ill()


@component
class DividesByZero(GoodRule):
    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        if 1 / vitals.numbers.get("A", 1.0) > 20:
            yield ill()


@component
class RoundsInfinity(GoodRule):
    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        if round(vitals.numbers.get("B", 0.0)) > 1000:
            yield ill()


@component
class CountsOnAMedian(GoodRule):
    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        if vitals.numbers.get("B", 0.0) > 100 * history.median("B"):  # type: ignore[operator]
            yield ill()


@component
class ReturnsNothing(GoodRule):
    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Any:
        return None


@component
class CountsOnAnOption(GoodRule):
    def lint(self, facts: Facts) -> Iterable[Finding]:
        if facts.tables["optimizer"]["generator"]["beta1"] > 0.5:
            yield ill()


@component
class CountsOnNetworks(GoodRule):
    def lint(self, facts: Facts) -> Iterable[Finding]:
        if len(list(facts.discriminator.modules())) < 2:  # type: ignore[union-attr]
            yield ill()


def rule_that_finds(found: Any) -> type:
    """A rule that says so of every game whose loss is flat."""

    class Finds(GoodRule):
        """Finds it (2017)."""

        def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
            if vitals.numbers.get("A", 1.0) < 0.05:
                yield found

    return component(Finds)


@component
class CallsEveryCriticTooGood(GoodRule):
    def judge(self, vitals: Vitals, history: History, facts: Facts) -> Iterable[Finding]:
        if vitals.numbers.get("auc", 0.5) > 0.6:
            yield ill(where="balance", threshold="AUC > 0.6")


@component
class CallsEveryLossIll(GoodRule):
    def lint(self, facts: Facts) -> Iterable[Finding]:
        if facts.boundary == "zero":
            yield ill(severity="fatal")


WRONG = [
    ("rule", "has_a_moment", NeverFinds, "has none of the methods judge, lint, so it never finds anything"),
    ("rule", "has_a_moment", NoPatience, "has judge() but no option `patience`, so it is never asked; write patience:"),
    ("rule", "patience_is_a_number_of_probes", FloatPatience, "`patience` is 3.0; make it an option of type int"),
    ("rule", "patience_is_a_number_of_probes", FixedPatience, "`patience` is 3; make it an option of type int"),
    (
        "rule",
        "judges_whatever_was_measured",
        CountsOnHeldOutReals,
        "judge() failed on a game of which nothing was measured: KeyError: 'auc/seen'. Take numbers, layers and tables",
    ),
    (
        "rule",
        "judges_whatever_was_measured",
        DividesByZero,
        "judge() failed on a game whose every number became 0: ZeroDivisionError",
    ),
    (
        "rule",
        "judges_whatever_was_measured",
        RoundsInfinity,
        "judge() failed on a game whose every number became nan: ValueError",
    ),
    ("rule", "judges_whatever_was_measured", CountsOnAMedian, "History answers None before it knows"),
    ("rule", "judges_whatever_was_measured", ReturnsNothing, "It returns an iterable of findings, () for none"),
    (
        "rule",
        "lints_whatever_is_known",
        CountsOnAnOption,
        "lint() failed on bare facts (no tables, no networks): KeyError: 'optimizer'. Take tables with .get()",
    ),
    ("rule", "lints_whatever_is_known", CountsOnNetworks, "expect None for networks and data"),
    (
        "rule",
        "a_healthy_game_is_left_alone",
        CallsEveryCriticTooGood,
        "calls a healthy game ill (warn in 'balance': AUC > 0.6, with {'A': 0.0}). Move the threshold",
    ),
    ("rule", "a_healthy_game_is_left_alone", CallsEveryLossIll, "calls a healthy game ill (fatal in 'loss'"),
    ("callback", "hears_of_a_run_that_never_began", ClosesWhatItNeverOpened, "train_ended() without train_started()"),
    (
        "callback",
        "survives_a_run_in_which_another_fails",
        CountsOnEveryNumber,
        "callback 'wrong' failed and is switched off: KeyError: 'metric/quality'",
    ),
    (
        "callback",
        "survives_a_run_in_which_another_fails",
        CountsOnOneRule,
        "callback 'wrong' failed and is switched off: KeyError: 'rho'",
    ),
    ("loss", "goes_on_in_a_graph", SharpensByCounting, "goes on as in the first step"),
    ("model", "goes_on_in_a_graph", CountsItsScores, "has to come from context.step"),
    ("optimizer", "goes_on_in_a_graph", StepsByCounting, "in torch's `state` that is changed in place, or the"),
    ("regularizer", "goes_on_in_a_graph", CountsOutOfSight, "a tensor that is changed in place, not from Python"),
    ("loss", "two_processes_agree_with_one", SumsInsteadOfMeans, "Return a mean over samples, or declare"),
    ("loss", "two_processes_agree_with_one", ComparesWithTheBatch, "declare mixes_samples = True if the batch as a"),
    ("regularizer", "two_processes_agree_with_one", PullsWeightsTowardsItsHalf, "that share a batch drift apart"),
    ("optimizer", "runs_without_waiting_for_the_device", SkipsLargeSteps, ".grad.norm() > 10:` reads a"),
    ("loss", "docstring_names_a_source", NoDocstring, "NoDocstring has no docstring; `gancore show` prints it"),
    ("loss", "docstring_names_a_source", NoSource, "names no source. Say which paper"),
    ("loss", "options_are_documented_and_typed", NoDocOfOption, "option 'weight' has no doc; write option(default, "),
    ("loss", "options_are_documented_and_typed", NoTypeOfOption, "option 'weight' has no type; annotate it"),
    ("loss", "created_with_its_defaults", BadDefault, "A default has to pass the option's own validators"),
    ("loss", "options_survive_toml", NotToml, "TOML has no word for an option's value"),
    (
        "loss",
        "state_survives_a_round_trip",
        HalfState,
        "has one of state_dict and load_state_dict; a resumed run needs",
    ),
    (
        "loss",
        "state_survives_a_round_trip",
        ForgetfulState,
        "load_state_dict does not restore what state_dict returned",
    ),
    ("loss", "facts_are_declared", NoFacts, "declare `needs_real: ClassVar[bool]`"),
    ("loss", "facts_are_declared", NoBoundary, "declare `boundary: ClassVar["),
    ("loss", "scalars_are_finite", NotAScalar, "generator() returned shape (6,); return a scalar: end in .mean()"),
    ("loss", "scalars_are_finite", Overflows, "Work on logits: softplus(-s) instead of -log(sigmoid(s))"),
    ("loss", "scalars_are_finite", ChangesDtype, "generator() returned torch.float32 for torch.float64 scores"),
    ("loss", "order_of_the_batch_does_not_matter", FirstSampleOnly, "generator() depends on the order of the batch"),
    ("loss", "derivatives_are_right", Detaches, "the derivative of discriminator() is not that of its value"),
    ("loss", "generators_side_pulls_on_fakes_only", NoGradient, "generator() has no gradient at the scores of fakes"),
    ("loss", "generators_side_pulls_on_fakes_only", NeedsRealsSecretly, "Declare needs_real = True if G's side uses"),
    ("loss", "runs_without_waiting_for_the_device", Items, "`if loss.item() > 3:` reads a tensor's value in Python"),
    (
        "loss",
        "runs_without_waiting_for_the_device",
        Branches,
        "`return loss / 2 if loss > 3 else loss` reads a tensor's",
    ),
    ("loss", "runs_without_waiting_for_the_device", Selects, "makes a tensor whose shape depends on values"),
    ("loss", "runs_without_waiting_for_the_device", GoesToCpu, "copies a tensor to the CPU"),
    ("loss", "runs_without_waiting_for_the_device", MakesOnCpu, "uses a tensor on another device than its input"),
    ("regularizer", "says_which_networks_it_is_for", NoOn, "has no option `on`"),
    ("regularizer", "says_which_networks_it_is_for", OnAnything, "make it a Literal"),
    ("regularizer", "has_a_moment", NoMoment, "so it never acts"),
    ("regularizer", "has_a_moment", NoEvery, "A penalty also needs an option `every`"),
    ("regularizer", "penalty_is_a_finite_scalar", EveryIsFloat, "make it an option of type int with ge(1), default 1"),
    ("regularizer", "penalty_is_a_finite_scalar", PenaltyIsVector, "return a finite scalar"),
    ("regularizer", "penalty_reaches_the_network", NoSecondOrder, "torch.autograd.grad(..., create_graph=True)"),
    ("regularizer", "penaltys_derivative_is_right", HalfDetached, "is something detached on the way?"),
    ("regularizer", "randomness_comes_from_the_context", GlobalNoise, "Pass generator=context.rng to torch.rand"),
    (
        "regularizer",
        "runs_without_waiting_for_the_device",
        SyncsInPenalty,
        "`if loss.item() > 3:` reads a tensor's value",
    ),
    ("regularizer", "inputs_keep_their_form", Crops, "D expects the form of the data"),
    ("regularizer", "inputs_keep_their_form", Quantises, "its gradient is lost on the way"),
    ("regularizer", "gradients_ready_reports_numbers", ReportsFloats, "return a dict of 0-d tensors, {} for none"),
    ("regularizer", "gradients_ready_reports_numbers", TakesGradients, "change gradients in place"),
    ("regularizer", "network_stays_one", NoNetwork, "has to return the network to use"),
    ("model", "facts_are_declared", NoLatentDim, "has no latent_dim; make it an option of type int with ge(1)"),
    ("model", "makes_something_of_some_data", RefusesAll, "Raise ComponentError only for data that the model really"),
    ("model", "generator_makes_the_form_of_the_data", FlatImages, "expected (6, 1, 16, 16), that of the data"),
    ("model", "generator_makes_the_form_of_the_data", LeavesRange, "end in tanh for images"),
    ("model", "discriminator_gives_one_score_a_sample", KeepsColumn, "expected (6,): squeeze the last"),
    ("model", "discriminator_gives_one_score_a_sample", Probabilities, "D ends in a sigmoid; scores are raw logits"),
    ("model", "gradients_reach_every_parameter", Unused, "discriminator parameter spare.weight gets no gradient"),
    ("model", "scores_follow_their_samples", MixesSecretly, "Declare mixes_samples"),
    ("model", "labels_matter_where_conditional", ConditionalInName, "gives the same for every label"),
    ("model", "built_from_torchs_generator", OwnSeed, "generator layer.bias is another one with the same seed"),
    ("optimizer", "builds_an_optimizer_and_its_schedule", BuildsNothing, "return a torch.optim.Optimizer"),
    ("optimizer", "builds_an_optimizer_and_its_schedule", NoSchedule, "return a torch LRScheduler"),
    ("optimizer", "lowers_a_quadratic", Climbs, "does it follow -gradient?"),
    ("optimizer", "lazy_regularization_lowers_the_rate", IgnoresLazy, "multiply lr by it, raise betas to its power"),
    (
        "optimizer",
        "rate_is_a_closed_form_of_the_step",
        ScheduleStartsAnew,
        "make it a closed form of the step (LambdaLR)",
    ),
    ("optimizer", "goes_on_exactly_where_it_was", HidesState, "keep all state in torch's `state`"),
    ("dataset", "spec_is_sensible", OddShape, "is neither an image (C, H, W) nor a vector (F,)"),
    ("dataset", "samples_are_what_the_spec_says", OtherDtype, "its spec says (2,) torch.float32"),
    ("dataset", "samples_are_what_the_spec_says", LabelTooHigh, "the spec says 0 to 1"),
    (
        "dataset",
        "an_index_gives_the_same_bytes_every_time",
        DrawsAnew,
        "Draw from a torch.Generator with a seed of its own",
    ),
    ("dataset", "missing_data_are_named", WrongError, "missing data raise FileNotFoundError; raise gancore.DataError"),
    ("metric", "says_when_and_on_how_much", NoRhythm, "make `every` an option of type int with ge(1)"),
    ("metric", "numbers_are_finite", NotFinite, "ratio = inf; a logged number has to be finite"),
    ("metric", "same_samples_same_numbers", Noisy, "gives other numbers for the same samples"),
    ("callback", "has_a_moment", NeverCalled, "has stepped() but no option `every`, so it is never called"),
    ("callback", "has_a_moment", DoesNothing, "so it never acts"),
    ("callback", "rhythm_is_a_number_of_steps", FloatRhythm, "make it an option of type int with ge(1)"),
]


@pytest.mark.parametrize(("kind", "check", "cls", "message"), WRONG, ids=[f"{w[1]}-{w[2].__name__}" for w in WRONG])
def test_a_wrong_component_is_caught_and_its_author_told_what_to_do(
    kind: str, check: str, cls: type, message: str
) -> None:
    with pytest.raises(Violation, match=re.escape(message)):
        run(kind, check, cls)


@pytest.mark.parametrize(
    ("kind", "cls"),
    [
        ("loss", GoodLoss), ("regularizer", GoodPenalty), ("model", GoodModel), ("optimizer", GoodOptimizer),
        ("dataset", GoodData), ("metric", GoodMetric), ("rule", GoodRule),
    ],
)  # fmt: skip
def test_the_right_ones_that_these_are_made_from_pass(kind: str, cls: type) -> None:
    """Else a check could be red for everything."""
    for function in import_module(f"gancore.testing.{ROOMS[kind]}").CHECKS:  # type: ignore[index]
        if all(holds(cls) for holds in getattr(function, "conditions", ())):
            function(subject_of(kind, cls))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("The loss is flat.", "in a game whose every number became 0; make it a gancore.Finding"),
        (ill(code="flat"), "whose code is 'flat'; make it the rule's name, 'wrong': users ignore it by that name"),
        (ill(severity="error"), "whose severity is 'error'; choose one of 'note', 'warn', 'fatal'"),
        (ill(where=None), "whose where is None; say it in words"),
        (ill(threshold=0.05), "whose threshold is 0.05; say it in words"),
        (ill(cause=""), "whose cause is ''; write one sentence for people, with a full stop"),
        (ill(remedy="lr"), "whose remedy is 'lr'; write one sentence for people, with a full stop"),
        (ill(evidence={"A": torch.zeros(())}), "give numbers by name, as float: they are written to health.json"),
        (ill(evidence=[0.05]), "give numbers by name, as float: they are written to health.json"),
        (ill(changes=[Change(("train", "steps"), 1)]), "give a tuple of gancore.Change, () for none"),
        (ill(changes=({"lr": 1e-4},)), "give a tuple of gancore.Change, () for none"),
        (ill(changes=(Change(("lr",), 1e-4),)), "change leads to ('lr',); name table and key, as in"),
        (ill(changes=(Change("loss.name", "hinge"),)), "change leads to 'loss.name'; name table and key, as in"),
        (ill(changes=(Change(("regularizer", 0, "on"), "both"),)), "leads to ('regularizer', 0, 'on'); name table and"),
        (ill(changes=(Change(("train", "steps"), float("inf")),)), "sets inf; an experiment file has no such value"),
        (ill(changes=(Change(("train", "steps"), object),)), "; an experiment file has no such value"),
    ],
)
def test_a_finding_that_is_not_whole_is_caught_and_its_author_told_what_to_do(found: Any, message: str) -> None:
    with pytest.raises(Violation, match=re.escape(message)):
        run("rule", "findings_are_whole", rule_that_finds(found))


@pytest.mark.parametrize(
    "change",
    [
        Change(("regularizer", "r1"), None),
        Change(("regularizer", "diffaugment"), {}),
        Change(("model", "hidden"), [64, 64]),
        Change(("loss", "name"), "hinge"),
    ],
)
def test_changes_of_every_form_are_accepted(change: Change) -> None:
    run("rule", "findings_are_whole", rule_that_finds(ill(changes=(change,))))


def test_a_synchronisation_is_reported_with_file_and_line() -> None:
    source = Path(__file__).read_text().splitlines()
    line = next(i for i, text in enumerate(source) if "class SyncsInPenalty" in text)
    line = next(i for i in range(line, len(source)) if "loss.item() > 3" in source[i]) + 1
    with pytest.raises(Violation, match=re.escape(f"{__file__}:{line}: `if loss.item() > 3:`")):
        run("regularizer", "runs_without_waiting_for_the_device", SyncsInPenalty)


def test_every_check_of_the_kit_has_a_wrong_component() -> None:
    covered = {check for _, check, _, _ in WRONG} | {"findings_are_whole"}
    elsewhere = {"discovery_imports_no_torch", "schema_has_it"}  # need an installed distribution: test_kit.py
    rooms = ("common", *ROOMS.values())
    known = {function.__name__ for room in rooms for function in import_module(f"gancore.testing.{room}").CHECKS}
    assert known == covered | elsewhere
