"""What a checkpoint has to hold, so that a resumed run is the same to the bit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gancore.contracts import Stateful
from gancore.errors import RunFolderError
from gancore.training.streams import derive

if TYPE_CHECKING:
    from gancore.training.run import Run


def taken(run: "Run", *, onlookers: bool = True) -> dict[str, Any]:
    """The state. Its tensors are the live ones.

    Args:
        onlookers: also of those without whom the same steps are taken: metrics, callbacks, the probe and the doctor.
    """
    return {
        "step": run.step,
        "data": {"shape": list(run.data.shape), "classes": run.data.classes, "range": run.data.range},
        "numbers": run.numbers.state_dict(),
        "ema": run.ema.network.state_dict(),
        "feed": run.game.feed.state_dict(),
        "globals": run.globals.state_dict(),
        "streams": {name: rng.get_state() for name, rng in _streams(run).items()},
        "components": {name: component.state_dict() for name, component in _stateful(run, onlookers)},
        "generator": run.game.generator.state_dict(),
        "discriminator": run.game.discriminator.state_dict(),
    }


def restore(run: "Run", state: Mapping[str, Any]) -> list[str]:
    """Returns what could not be restored exactly, in words."""
    with _fitting():
        _go_on(run, state)
        for player in (run.game.generator, run.game.discriminator):
            player.load_state_dict(state[player.role])
        run.globals.load_state_dict(state["globals"])
        run.numbers.load_state_dict(state["numbers"], run.device)
        for name, component in _stateful(run):
            if name in state["components"]:  # a callback may have been added since
                component.load_state_dict(state["components"][name])
        streams = _streams(run).items()
        return [note for name, rng in streams if (note := _restored(run, name, rng, state["streams"]))]


def adopt(run: "Run", state: Mapping[str, Any]) -> None:
    """Only what a run with other options can take over."""
    with _fitting():
        _go_on(run, state)
        for player in (run.game.generator, run.game.discriminator):
            player.adopt(state[player.role])


def _go_on(run: "Run", state: Mapping[str, Any]) -> None:
    run.ema.network.load_state_dict(state["ema"])
    run.game.feed.load_state_dict(state["feed"])
    run.step = state["step"]
    run.clock.fill_(run.step)


def _restored(run: "Run", name: str, rng: torch.Generator, states: Mapping[str, Tensor]) -> str:
    """One stream. Generators of different devices are different generators: their states do not carry over."""
    if states[name].numel() == rng.get_state().numel():
        rng.set_state(states[name])
        return ""
    rng.manual_seed(derive(run.seed, f"{name} from step {run.step}"))
    return f"random stream {name!r} is from another kind of device; it starts afresh, so this run is not bit-exact"


def _streams(run: "Run") -> dict[str, torch.Generator]:
    players = (run.game.generator, run.game.discriminator)
    streams = {f"{p.role}/{r.key}": r.context.rng for p in players for r in p.regularizers}
    return {"latents": run.game.latents.rng, **streams}


def _stateful(run: "Run", onlookers: bool = True) -> list[tuple[str, Stateful]]:
    players = (run.game.generator, run.game.discriminator)
    components: dict[str, Any] = {"loss": run.game.loss}
    components |= {f"regularizer/{p.role}/{r.key}": r.component for p in players for r in p.regularizers}
    if onlookers:
        components |= {f"metric/{key}": metric for key, metric in run.metrics.items()}
        components |= {f"callback/{key}": callback for key, callback in run.callbacks.items()}
    if onlookers and run.checkup:
        components |= {"health/probe": run.checkup.probe, "health/doctor": run.checkup.doctor}
    return [(name, component) for name, component in components.items() if isinstance(component, Stateful)]


@contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        short = said[:300] + "..." * (len(said) > 300)
        raise RunFolderError(f"the state does not fit this experiment: {type(error).__name__}: {short}") from error
