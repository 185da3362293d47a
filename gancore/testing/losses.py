"""What every loss has to hold. Scores are (N,) logits; both sides return a scalar to minimise."""

from typing import Any

import torch
from torch import Tensor

from gancore.testing.device_safe import DEVICE, device_safe
from gancore.testing.graph import a_graph_agrees
from gancore.testing.kit import Subject, Violation
from gancore.testing.materials import BATCH, draw
from gancore.testing.split import two_processes_agree


def facts_are_declared(subject: Subject) -> None:
    loss = subject.create()
    if not isinstance(getattr(loss, "needs_real", None), bool):
        raise Violation(
            f"{subject}: declare `needs_real: ClassVar[bool]`: whether G's side uses real scores; the engine provides "
            "them only then"
        )
    if getattr(loss, "boundary", None) not in ("zero", "none"):
        raise Violation(
            f'{subject}: declare `boundary: ClassVar[Literal["zero", "none"]]`: "zero" if D decides at score 0, "none" '
            "if single scores have no absolute meaning"
        )


def scalars_are_finite(subject: Subject) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for size in (1.0, 1e4):
            real, fake = draw(BATCH).to(dtype) * size, draw(BATCH, seed=1).to(dtype) * size
            for side, value in _sides(subject, real, fake).items():
                if value.shape != ():
                    raise Violation(
                        f"{subject}: {side}() returned shape {tuple(value.shape)}; return a scalar: end in .mean()"
                    )
                if value.dtype != dtype:
                    raise Violation(f"{subject}: {side}() returned {value.dtype} for {dtype} scores; keep the dtype")
                if not torch.isfinite(value):
                    raise Violation(
                        f"{subject}: {side}() is {value.item()} for scores around {size:g}. Work on logits: "
                        "softplus(-s) instead of -log(sigmoid(s))"
                    )


def order_of_the_batch_does_not_matter(subject: Subject) -> None:
    """Pairs are permuted together, as relativistic losses compare the i-th real with the i-th fake."""
    real, fake = draw(BATCH, dtype=torch.float64), draw(BATCH, seed=1, dtype=torch.float64)
    order = torch.arange(BATCH).flip(0)
    before, after = _sides(subject, real, fake), _sides(subject, real[order], fake[order])
    for side in before:
        if not torch.allclose(before[side], after[side]):
            raise Violation(f"{subject}: {side}() depends on the order of the batch; a mean over samples does not")


def derivatives_are_right(subject: Subject) -> None:
    """torch.autograd.gradcheck in float64."""
    loss = subject.create()
    real = draw(BATCH, dtype=torch.float64).requires_grad_()
    fake = draw(BATCH, seed=1, dtype=torch.float64).requires_grad_()
    for side in ("discriminator", "generator"):
        try:
            torch.autograd.gradcheck(getattr(loss, side), (real, fake))
        except Exception as error:
            raise Violation(
                f"{subject}: the derivative of {side}() is not that of its value ({str(error).splitlines()[0]}). "
                "Is there "
                "a detach(), a no_grad() or a custom backward?"
            ) from error


def generators_side_pulls_on_fakes_only(subject: Subject) -> None:
    """G learns through the scores of fakes; it is handed reals only if it needs them."""
    loss = subject.create()
    fake = draw(BATCH, seed=1).requires_grad_()
    real = draw(BATCH) if loss.needs_real else None
    try:
        value = loss.generator(real, fake)
    except Exception as error:
        raise Violation(
            f"{subject}: generator({'real' if loss.needs_real else 'None'}, fake) failed: {type(error).__name__}: "
            f"{error}. "
            "Declare needs_real = True if G's side uses real scores"
        ) from error
    (gradient,) = torch.autograd.grad(value, fake, allow_unused=True)
    if gradient is None or not bool(gradient.abs().sum() > 0):
        raise Violation(f"{subject}: generator() has no gradient at the scores of fakes, so G cannot learn from it")


def runs_without_waiting_for_the_device(subject: Subject) -> None:
    loss = subject.create()
    with device_safe(str(subject)):
        real = torch.empty(BATCH, device=DEVICE, requires_grad=True)
        fake = torch.empty(BATCH, device=DEVICE, requires_grad=True)
        loss.discriminator(real, fake).backward()
        loss.generator(real if loss.needs_real else None, fake).backward()


def goes_on_in_a_graph(subject: Subject) -> None:
    """A compiled or captured phase does in every step what the eager one does, where the component can be traced."""
    a_graph_agrees(subject)


def two_processes_agree_with_one(subject: Subject) -> None:
    """Splitting a batch over processes changes nothing, where the component claims that."""
    two_processes_agree(subject)


def _sides(subject: Subject, real: Tensor, fake: Tensor) -> dict[str, Any]:
    loss = subject.create()
    return {"discriminator": loss.discriminator(real, fake), "generator": loss.generator(real, fake)}


CHECKS = (
    facts_are_declared,
    scalars_are_finite,
    order_of_the_batch_does_not_matter,
    derivatives_are_right,
    generators_side_pulls_on_fakes_only,
    runs_without_waiting_for_the_device,
    goes_on_in_a_graph,
    two_processes_agree_with_one,
)
