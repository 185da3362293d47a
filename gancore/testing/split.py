"""The two-process check: one process with a whole batch and two with half of it each train to the same weights.

The two are real processes that reduce their gradients over gloo, as in a run on several GPUs. They are started once and
kept for all components.
"""

import atexit
import tempfile
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import timedelta
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gancore.testing.kit import NotHere, Subject, Violation
from gancore.testing.materials import draw
from gancore.testing.small_run import CPU, small_game, spec_for
from gancore.training.numbers import Numbers
from gancore.training.phases import discriminator_phase, generator_phase
from gancore.training.ranks import ALONE, Ranks
from gancore.training.streams import stream

STEPS = 3
PATIENCE = timedelta(seconds=60)


def two_processes_agree(subject: Subject) -> None:
    """Where the component claims it: does not say that it mixes samples, and draws no random numbers.

    Raises:
        Violation: they do not.
        NotHere: there is nothing to compare, or no gloo.
    """
    component = subject.create()
    if getattr(component, "mixes_samples", False):
        return  # declared: how a batch is split does matter to it
    if not dist.is_available() or not dist.is_gloo_available():
        raise NotHere("this torch has no gloo")
    if subject.offer.kind == "model" and _generator_mixes(component):
        raise NotHere(f"{subject}: G mixes samples (batch norm?), so how a batch is split does matter to it")
    alone, draws = _train(subject, ALONE)
    if draws:
        raise NotHere(f"{subject} draws random numbers: two processes draw others than one")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "store"
        futures: list[Future[list[Tensor]]] = [
            _processes().submit(_train_together, subject, rank, str(meeting)) for rank in (0, 1)
        ]
        first, second = (future.result() for future in futures)
    for weight, a, b in zip(alone, first, second, strict=True):
        if not torch.equal(a, b):
            raise Violation(
                f"{subject}: two processes that share a batch drift apart. What it computes from its half has to be "
                "the same in both, or reach the weights through gradients only"
            )
        if not torch.allclose(weight, a, rtol=1e-3, atol=1e-5):
            raise Violation(
                f"{subject}: two processes with half a batch each train to other weights than one with the whole "
                f"(difference up to {(weight - a).abs().max():.2g} after {STEPS} steps). Return a mean over samples, "
                "or declare mixes_samples = True if the batch as a whole matters"
            )


def _train_together(subject: Subject, rank: int, meeting: str) -> list[Tensor]:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=PATIENCE)
    try:
        return _train(subject, Ranks.here())[0]
    finally:
        dist.destroy_process_group()


def _train(subject: Subject, ranks: Ranks) -> tuple[list[Tensor], bool]:
    """The weights of G and D after a few steps, and whether the component drew random numbers."""
    component = subject.create()
    rng = stream(0, "component", CPU)
    before = rng.get_state()
    if subject.offer.kind == "model":
        game = small_game(model=component, spec=spec_for(component), ranks=ranks)
    elif subject.offer.kind == "loss":
        game = small_game(loss=component, ranks=ranks)
    else:
        game = small_game(regularizer=(subject.create, rng), ranks=ranks)
    numbers = Numbers()
    for index in range(STEPS):
        discriminator_phase(game, index, numbers, measure=False)
        generator_phase(game, index, numbers, measure=False)
    players = (game.discriminator, game.generator)
    weights = [parameter.detach().clone() for player in players for parameter in player.network.parameters()]
    return weights, not torch.equal(before, rng.get_state())


def _generator_mixes(model: Any) -> bool:
    spec = spec_for(model)
    G = model.generator(spec)
    z, y = draw(4, model.latent_dim), torch.arange(4) % spec.classes
    return not torch.allclose(G(z, y)[:2], G(z[:2], y[:2]), rtol=1e-3, atol=1e-5)


@cache
def _processes() -> ProcessPoolExecutor:
    """Two, of which each takes one of a pair's jobs: the first to come waits for the other."""
    pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    atexit.register(pool.shutdown, wait=False, cancel_futures=True)
    return pool
