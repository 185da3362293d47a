"""How a run is computed: how many threads, and whether phases run operator by operator, compiled or captured.

Decided by the experiment and the machine, never by a measurement: a run that is resumed has to decide the same.
"""

from collections.abc import Iterable, Mapping

import torch

from gancore.assemble.blueprint import Blueprint
from gancore.assemble.work import CAPTURED_PHASE, CORE, GPU, PHASE
from gancore.contracts import ROLES, Penalty, Role
from gancore.errors import UserError
from gancore.experiment import Train
from gancore.health.measures import spreads
from gancore.health.taps import Spreads
from gancore.training.captured import Captured
from gancore.training.cuda_graphs import CudaRecorder
from gancore.training.phases import EAGER, PLAINLY, Differentiate, Take
from gancore.training.player import Player
from gancore.training.ranks import Ranks
from gancore.training.threads import Threads, choose

# What compiling saves at least: shares of what a phase costs however small it is, and of the time of its arithmetic.
# It takes up to a minute itself.
SAVED_OF_PHASE, SAVED_OF_WORK, WORTH = 0.3, 0.03, 120.0  # shares, seconds


def choose_threads(
    train: Train, blueprint: Blueprint, players: Iterable[Player], device: torch.device, ranks: Ranks
) -> Threads:
    if train.threads == "auto" and ranks.size > 1:
        return Threads()  # whoever starts several processes divides the cores among them
    return choose(train.threads, device, _work(train, blueprint, players) / (train.n_critic + 1))


def choose_differentiate(
    train: Train,
    blueprint: Blueprint,
    players: Mapping[Role, Player],
    clock: torch.Tensor,
    steps: int,
    threads: Threads,
    ranks: Ranks,
) -> Differentiate:
    """`auto` compiles where that is estimated to save enough in the whole run."""
    wanted = train.compile
    if wanted == "auto":
        speed = CORE * (threads.number or 1) if clock.device.type == "cpu" else GPU
        phase = CAPTURED_PHASE if _is_captured(train, clock.device, ranks) else PHASE
        work = _work(train, blueprint, players.values())
        saved = SAVED_OF_WORK * work / speed + SAVED_OF_PHASE * (train.n_critic + 1) * phase
        wanted = "phase" if work and steps * saved >= WORTH else "off"
    if wanted == "off":
        return EAGER
    from gancore.training.compiled import Compiled, CompiledNetworks, by_inductor  # what traces is slow to import
    from gancore.training.compiled_step import CompiledStep

    if wanted == "networks":
        return CompiledNetworks([players[role] for role in ROLES])
    # Several processes average gradients, not weights: they have to take the same steps, to the last bit.
    if clock.device.type == "cpu" and ranks.size == 1:
        for player in players.values():
            player.stepper = CompiledStep(player, by_inductor)
    return Compiled(clock)


def choose_spreads(players: Iterable[Player]) -> Spreads:
    """How the probe measures updates: compiled where they are."""
    if not any(player.stepper for player in players):
        return spreads
    from gancore.training.compiled import by_inductor
    from gancore.training.compiled_spreads import CompiledSpreads

    return CompiledSpreads(by_inductor)


def choose_take(train: Train, device: torch.device, ranks: Ranks) -> Take:
    """CUDA graphs on a GPU, where it is alone: processes that share a batch talk between gradients and update.

    Raises:
        UserError: they are demanded where there can be none.
    """
    captured = _is_captured(train, device, ranks)
    if train.capture == "on" and not captured:
        raise UserError(
            'train.capture = "on" needs one CUDA device that no other process shares the run with; "auto" does without'
        )
    return Captured(CudaRecorder(device)) if captured else PLAINLY


def _is_captured(train: Train, device: torch.device, ranks: Ranks) -> bool:
    return device.type == "cuda" and ranks.size == 1 and train.capture != "off"


def _work(train: Train, blueprint: Blueprint, players: Iterable[Player]) -> float:
    """Floating-point operations of a step; 0 where the networks were handed in and nobody has counted."""
    if set(blueprint.work) != set(ROLES):
        return 0.0
    penalties: dict[Role, float] = {
        player.role: sum(1 / r.component.every for r in player.regularizers if isinstance(r.component, Penalty))
        for player in players
    }
    return blueprint.work.of_step(train.batch_size, train.n_critic, penalties)
