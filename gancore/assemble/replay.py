"""A capsule -> a run that stands before the step that goes wrong. Needs neither the data nor the device of then."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.utils.data import TensorDataset

from gancore import checkpoint
from gancore.assemble.blueprint import Objects
from gancore.assemble.build import assemble
from gancore.assemble.folder import spec_of
from gancore.errors import ExperimentError, RunFolderError
from gancore.experiment import read
from gancore.registry import Registry
from gancore.training.recorder import Capsule, unpacked
from gancore.training.run import Run


def open_capsule(folder: Path, overrides: Iterable[str] = ()) -> tuple[Run, Capsule]:
    """The run, on the CPU, with its state restored.

    Raises:
        RunFolderError: it is no capsule, or damaged.
        UserError: its experiment cannot be assembled here.
    """
    state = checkpoint.load(folder)
    if not {"state", "reals", "latents", "experiment", "sighting"} <= state.keys():
        raise RunFolderError("is no capsule", folder)
    spec = spec_of(state["state"], folder)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "capsule.toml"
        file.write_text(state["experiment"], "utf-8")
        try:
            experiment = read(
                file, Registry.discover(), ["train.device=cpu", "train.held_out=0", *overrides], ("data",)
            )
        except ExperimentError as error:
            said = "; ".join(f"{problem.key}: {problem.message}".removeprefix(": ") for problem in error.problems)
            why = f"its experiment cannot be assembled by itself ({said}); were its networks handed in by a script?"
            raise RunFolderError(why, folder) from error
    # In the place of the data: the feed that is made of them is never asked.
    n = experiment.train.batch_size
    values = torch.zeros(n, *spec.shape, dtype=torch.uint8 if spec.is_image else torch.float32)
    stand_in = TensorDataset(values, torch.zeros(n, dtype=torch.int64)) if spec.classes else TensorDataset(values)
    run = assemble(experiment, Objects(data=stand_in, spec=spec))
    run.load_state_dict(state["state"])
    return run, unpacked(state, run.device)
