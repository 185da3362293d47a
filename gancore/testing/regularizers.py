"""What every regularizer has to hold, moment by moment."""

from collections.abc import Mapping
from typing import Any

import torch
from attrs import evolve
from torch import Tensor, nn

from gancore.components import options_of
from gancore.contracts import (
    DiscriminatorInputs,
    GradientsReady,
    NetworkBuilt,
    ParametersUpdated,
    Penalty,
    Phase,
)
from gancore.experiment.structure import structure
from gancore.testing.device_safe import DEVICE, device_safe
from gancore.testing.graph import a_graph_agrees
from gancore.testing.kit import Subject, Violation, method, only_for
from gancore.testing.materials import BATCH, SmoothDiscriminator, context, draw, phase, roles_of
from gancore.testing.split import two_processes_agree

MOMENTS = (NetworkBuilt, DiscriminatorInputs, Penalty, GradientsReady, ParametersUpdated)
IMAGES = (3, 16, 16)


def says_which_networks_it_is_for(subject: Subject) -> None:
    if "on" not in {field.name for field in options_of(subject.cls)}:
        raise Violation(
            f'{subject}: has no option `on`. Write `on: Literal["discriminator"] = option("discriminator", "The '
            "network it "
            'is for.")`, with those of discriminator, generator and both that make sense'
        )
    known = [on for on in ("discriminator", "generator", "both") if not structure(subject.cls, {"on": on})[1]]
    refused = structure(subject.cls, {"on": "somewhere else"})[1]
    if not known or not refused:
        raise Violation(
            f'{subject}: `on` takes other values than "discriminator", "generator" and "both"; make it a Literal'
        )


def has_a_moment(subject: Subject) -> None:
    if not isinstance(subject.create(), MOMENTS):
        names = ["network_built", "discriminator_inputs", "penalty", "gradients_ready", "parameters_updated"]
        raise Violation(
            f"{subject}: has none of the methods {', '.join(names)}, so it never acts. A penalty also needs an "
            "option `every`"
        )


@only_for(method("penalty"))
def penalty_is_a_finite_scalar(subject: Subject) -> None:
    component = subject.create()
    if type(component.every) is not int or component.every < 1:
        raise Violation(
            f"{subject}: `every` is {component.every!r}; make it an option of type int with ge(1), default 1"
        )
    for role in roles_of(component):
        value = _penalty(component, phase(role))
        if value.shape != () or not torch.isfinite(value):
            raise Violation(f"{subject}: penalty() returned {value}; return a finite scalar")


@only_for(method("penalty"))
def penalty_reaches_the_network(subject: Subject) -> None:
    """It has a gradient at the parameters of its network: a penalty on D's slope needs create_graph=True."""
    component = subject.create()
    for role in roles_of(component):
        seen = phase(role)
        value = _penalty(component, seen)
        parameters = list(getattr(seen, role).parameters())
        gradients = torch.autograd.grad(value, parameters, allow_unused=True) if value.requires_grad else ()
        if not any(gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients):
            raise Violation(
                f"{subject}: penalty() has no gradient at the {role}'s parameters. If it takes a gradient itself, "
                "write "
                "torch.autograd.grad(..., create_graph=True); do not detach its result"
            )


@only_for(method("penalty"))
def penaltys_derivative_is_right(subject: Subject) -> None:
    """Along one direction in the space of the network's parameters: the derivative against a central difference."""
    component = subject.create()
    for role in roles_of(component):
        seen = phase(role, dtype=torch.float64)
        parameters = list(getattr(seen, role).parameters())
        direction = [draw(*parameter.shape, seed=5, dtype=torch.float64) for parameter in parameters]
        gradients = torch.autograd.grad(_penalty(component, seen), parameters, allow_unused=True)
        slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True) if g is not None)
        values = []
        for h in (1e-6, -2e-6):  # from 0 to h, then to -h
            with torch.no_grad():
                torch._foreach_add_(parameters, direction, alpha=h)
            values.append(_penalty(component, _again(seen)).detach())
        difference = (values[0] - values[1]) / 2e-6
        if not torch.allclose(torch.as_tensor(slope, dtype=torch.float64), difference, rtol=1e-4, atol=1e-7):
            raise Violation(
                f"{subject}: the derivative of penalty() is not that of its value ({float(slope):.6g} against "
                f"{difference.item():.6g} along one direction); is something detached on the way?"
            )


def _again(seen: Phase) -> Phase:
    """The same phase, computed anew by its (changed) networks; fakes only where they have a history."""
    fake = seen.generator(seen.z) if seen.role == "generator" else seen.fake
    real_score = None if seen.real is None else seen.discriminator(seen.real)
    return evolve(seen, fake=fake, fake_score=seen.discriminator(fake), real_score=real_score)


@only_for(method("discriminator_inputs"))
def inputs_keep_their_form(subject: Subject) -> None:
    component = subject.create()
    for dtype in (torch.float32, torch.float64):
        x = draw(BATCH, *IMAGES).to(dtype).requires_grad_()
        shown = component.discriminator_inputs(x, context())
        if shown.shape != x.shape or shown.dtype != dtype:
            raise Violation(
                f"{subject}: discriminator_inputs() made {tuple(shown.shape)} {shown.dtype} of {tuple(x.shape)} "
                f"{dtype}; D "
                "expects the form of the data"
            )
        (gradient,) = torch.autograd.grad(shown.sum(), x, allow_unused=True)
        if gradient is None or not bool(gradient.abs().sum() > 0):
            raise Violation(
                f"{subject}: G cannot learn through discriminator_inputs(): its gradient is lost on the way"
            )


@only_for(method("gradients_ready"))
def gradients_ready_reports_numbers(subject: Subject) -> None:
    component = subject.create()
    parameters = _parameters_with_gradients()
    before = [parameter.grad for parameter in parameters]
    report = component.gradients_ready(parameters, context())
    if not isinstance(report, Mapping) or not all(isinstance(v, Tensor) and v.shape == () for v in report.values()):
        raise Violation(
            f"{subject}: gradients_ready() returned {report!r}; return a dict of 0-d tensors, {{}} for none"
        )
    for parameter, gradient in zip(parameters, before, strict=True):
        if parameter.grad is None or (gradient is not None and parameter.grad.shape != gradient.shape):
            raise Violation(f"{subject}: gradients_ready() took a gradient away; change gradients in place")


@only_for(method("penalty", "discriminator_inputs", "gradients_ready", "parameters_updated"))
def randomness_comes_from_the_context(subject: Subject) -> None:
    """Same stream, same result; the global generators stay untouched."""
    results = []
    for global_seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(global_seed)
            before = torch.get_rng_state()
            results.append(_act(subject.create()))
            if not torch.equal(before, torch.get_rng_state()):
                raise Violation(
                    f"{subject}: draws from torch's global generator. Pass generator=context.rng to torch.rand "
                    "and the like; "
                    "else no run can be repeated or resumed"
                )
    if not all(torch.equal(a, b) for a, b in zip(*results, strict=True)):
        raise Violation(f"{subject}: gives another result from the same stream; where does its randomness come from?")


@only_for(method("penalty", "discriminator_inputs", "gradients_ready", "parameters_updated"))
def runs_without_waiting_for_the_device(subject: Subject) -> None:
    component = subject.create()
    with device_safe(str(subject)):
        _act(component, DEVICE)


@only_for(method("network_built"))
def network_stays_one(subject: Subject) -> None:
    component = subject.create()
    network = component.network_built(SmoothDiscriminator())
    if not isinstance(network, nn.Module) or network(draw(2, 1, 8, 8)).shape != (2,):
        raise Violation(
            f"{subject}: network_built() has to return the network to use, with the same inputs and outputs"
        )
    with torch.device("meta"):
        component.network_built(SmoothDiscriminator())


@only_for(method("penalty", "discriminator_inputs", "network_built"))
def goes_on_in_a_graph(subject: Subject) -> None:
    """A compiled or captured phase does in every step what the eager one does, where the component can be traced."""
    a_graph_agrees(subject)


@only_for(method("network_built", "penalty", "gradients_ready", "parameters_updated"))
def two_processes_agree_with_one(subject: Subject) -> None:
    """Splitting a batch over processes changes nothing, where the component claims that."""
    two_processes_agree(subject)


def _act(component: Any, device: str = "cpu") -> list[Tensor]:
    """Every step-time moment once."""
    made = []
    if isinstance(component, DiscriminatorInputs):
        made.append(component.discriminator_inputs(torch.ones(BATCH, *IMAGES, device=device), context(device=device)))
    if isinstance(component, Penalty):
        for role in roles_of(component):
            value = component.penalty(phase(role, device=device), context(device=device))
            value.backward()  # type: ignore[no-untyped-call]
            made.append(value.detach())
    if isinstance(component, GradientsReady):
        parameters = _parameters_with_gradients(device)
        component.gradients_ready(parameters, context(device=device))
        made += [parameter.grad for parameter in parameters if parameter.grad is not None]
    if isinstance(component, ParametersUpdated):
        parameters = _parameters_with_gradients(device)
        with torch.no_grad():
            component.parameters_updated(parameters, context(device=device))
        made += [parameter.detach() for parameter in parameters]
    return made


def _parameters_with_gradients(device: str = "cpu") -> list[nn.Parameter]:
    parameters = [nn.Parameter(draw(*shape, seed=i).to(device)) for i, shape in enumerate([(4, 3), (4,), (2, 3, 2, 2)])]
    for i, parameter in enumerate(parameters):
        parameter.grad = draw(*parameter.shape, seed=10 + i).to(device) * 10
    return parameters


def _penalty(component: Any, seen: Phase) -> Tensor:
    value: Tensor = component.penalty(seen, context())
    return value


CHECKS = (
    says_which_networks_it_is_for,
    has_a_moment,
    penalty_is_a_finite_scalar,
    penalty_reaches_the_network,
    penaltys_derivative_is_right,
    inputs_keep_their_form,
    gradients_ready_reports_numbers,
    randomness_comes_from_the_context,
    runs_without_waiting_for_the_device,
    network_stays_one,
    goes_on_in_a_graph,
    two_processes_agree_with_one,
)
