"""What every model has to hold, for each kind of data that it does not refuse."""

from collections.abc import Iterator
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from gancore.contracts import DataSpec
from gancore.errors import ComponentError
from gancore.testing.device_safe import DEVICE, device_safe
from gancore.testing.graph import a_graph_agrees
from gancore.testing.kit import Subject, Violation, only_for, option_named
from gancore.testing.materials import BATCH, SPECS, draw
from gancore.testing.split import two_processes_agree


def facts_are_declared(subject: Subject) -> None:
    model = subject.create()
    if type(getattr(model, "latent_dim", None)) is not int or model.latent_dim < 1:
        raise Violation(f"{subject}: has no latent_dim; make it an option of type int with ge(1)")
    for fact in ("mixes_samples", "conditional"):
        if not isinstance(getattr(model, fact, False), bool):
            raise Violation(f"{subject}: {fact} has to be true or false, it is {getattr(model, fact)!r}")


def makes_something_of_some_data(subject: Subject) -> None:
    if not list(_cases(subject)):
        raise Violation(
            f"{subject}: refuses all of {', '.join(str(spec.shape) for spec in SPECS)}. Raise ComponentError only "
            "for data "
            "that the model really cannot make"
        )


def generator_makes_the_form_of_the_data(subject: Subject) -> None:
    for model, spec, y in _cases(subject):
        made = _built(model, "generator", spec)(draw(BATCH, model.latent_dim), y)
        if tuple(made.shape) != (BATCH, *spec.shape):
            raise Violation(f"{subject}: G made {tuple(made.shape)}; expected {(BATCH, *spec.shape)}, that of the data")
        if spec.range and not bool(((made >= spec.range[0]) & (made <= spec.range[1])).all()):
            raise Violation(f"{subject}: G leaves the data's range {spec.range}; end in tanh for images")


def discriminator_gives_one_score_a_sample(subject: Subject) -> None:
    for model, spec, y in _cases(subject):
        score = _built(model, "discriminator", spec)(_samples(spec), y)
        if tuple(score.shape) != (BATCH,):
            raise Violation(
                f"{subject}: D gave scores of shape {tuple(score.shape)}; expected {(BATCH,)}: squeeze the last"
            )
        if any(isinstance(module, nn.Sigmoid) for module in list(_built(model, "discriminator", spec).modules())[-1:]):
            raise Violation(f"{subject}: D ends in a sigmoid; scores are raw logits, the losses expect no probability")


def gradients_reach_every_parameter(subject: Subject) -> None:
    for model, spec, y in _cases(subject):
        for role in ("generator", "discriminator"):
            network = _built(model, role, spec)
            x = draw(BATCH, model.latent_dim) if role == "generator" else _samples(spec)
            made = network(x, y)
            (made * draw(*made.shape, seed=3)).sum().backward()
            for name, parameter in network.named_parameters():
                if parameter.requires_grad and (parameter.grad is None or not bool(parameter.grad.isfinite().all())):
                    what = "no" if parameter.grad is None else "a gradient that is not finite, not a"
                    raise Violation(
                        f"{subject}: {role} parameter {name} gets {what} gradient. Is it used in forward()? Freeze it "
                        "with requires_grad_(False) if it is not to learn"
                    )


def scores_follow_their_samples(subject: Subject) -> None:
    """Permuting a batch permutes its scores, unless the model says that D mixes samples."""
    for model, spec, y in _cases(subject):
        if getattr(model, "mixes_samples", False):
            continue
        D = _built(model, "discriminator", spec).double()
        x = _samples(spec).double()
        alone = torch.cat([D(x[i : i + 1], None if y is None else y[i : i + 1]) for i in range(BATCH)])
        if not torch.allclose(D(x, y), alone, rtol=1e-6, atol=1e-9):
            raise Violation(
                f"{subject}: a score depends on the other samples of the batch. Declare mixes_samples (True where "
                "D has "
                "batch norm or minibatch statistics): penalties per sample are wrong on such a D"
            )


@only_for(option_named("conditional"))
def labels_matter_where_conditional(subject: Subject) -> None:
    for model, spec, _ in _cases(subject, conditional=True):
        for role in ("generator", "discriminator"):
            network = _built(model, role, spec).eval()
            x = draw(BATCH, model.latent_dim) if role == "generator" else _samples(spec)
            made = [network(x, torch.full((BATCH,), label)) for label in (0, 1)]
            if torch.equal(*made):
                raise Violation(f"{subject}: conditional = true, but the {role} gives the same for every label")


def built_from_torchs_generator(subject: Subject) -> None:
    """The same seed builds the same networks: the engine seeds torch's global generator around it."""
    for model, spec, _ in _cases(subject):
        for role in ("generator", "discriminator"):
            one, other = _built(model, role, spec), _built(model, role, spec)
            for name, value in one.state_dict().items():
                if not torch.equal(value, other.state_dict()[name]):
                    raise Violation(
                        f"{subject}: {role} {name} is another one with the same seed; initialise from torch's generator"
                    )
            other.load_state_dict(one.state_dict())


def runs_without_waiting_for_the_device(subject: Subject) -> None:
    for model, spec, y in _cases(subject):
        with device_safe(str(subject)):
            with torch.device(DEVICE):
                G, D = model.generator(spec), model.discriminator(spec)
            y = None if y is None else torch.empty(BATCH, dtype=torch.int64, device=DEVICE)
            fake = G(torch.empty(BATCH, model.latent_dim, device=DEVICE), y)
            D(fake, y).sum().backward()


def goes_on_in_a_graph(subject: Subject) -> None:
    """A compiled or captured phase does in every step what the eager one does, where the component can be traced."""
    a_graph_agrees(subject)


def two_processes_agree_with_one(subject: Subject) -> None:
    """Splitting a batch over processes changes nothing, where the component claims that."""
    two_processes_agree(subject)


def _cases(subject: Subject, **changes: Any) -> Iterator[tuple[Any, DataSpec, Tensor | None]]:
    """The model with each kind of data that it makes, and labels for a batch."""
    model = attrs.evolve(subject.create(), **changes)
    for spec in SPECS:
        try:
            with torch.device("meta"):
                model.generator(spec), model.discriminator(spec)
        except ComponentError:
            continue
        yield model, spec, torch.arange(BATCH) % spec.classes


def _built(model: Any, role: str, spec: DataSpec) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = getattr(model, role)(spec)
    return network


def _samples(spec: DataSpec) -> Tensor:
    return draw(BATCH, *spec.shape, seed=1).tanh()


CHECKS = (
    facts_are_declared,
    makes_something_of_some_data,
    generator_makes_the_form_of_the_data,
    discriminator_gives_one_score_a_sample,
    gradients_reach_every_parameter,
    scores_follow_their_samples,
    labels_matter_where_conditional,
    built_from_torchs_generator,
    runs_without_waiting_for_the_device,
    goes_on_in_a_graph,
    two_processes_agree_with_one,
)
