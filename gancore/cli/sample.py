"""`gancore sample`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 64  # samples made at once, so that 10,000 need no more memory than a training step
ROW = 8  # samples from one latent to the next


@click.command(
    short_help="Make a picture of a run's samples.",
    epilog="Example: gancore sample runs/digits-1 -n 64 --seed 3 -o digits.png",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=64, show_default=True, help="How many samples.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of the latents.")
@click.option("--class", "label", type=click.IntRange(0), help="Only this class (conditional generators).")
@click.option("--best", is_flag=True, help="Of the checkpoint that [checkpoint] best has chosen, not of the newest.")
@click.option("--interpolate", is_flag=True, help="Rows of 8 that go from one latent to another, along the sphere.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The picture. [default: RUN/samples/seed-SEED.png]")
def sample(
    run: Path, count: int, seed: int, label: int | None, best: bool, interpolate: bool, out: Path | None
) -> None:
    """Make a picture of samples from the newest checkpoint in folder RUN, with the averaged (EMA) generator."""
    import torch

    from gancore import checkpoint
    from gancore.assemble import Objects, blueprint_of
    from gancore.assemble.folder import spec_of
    from gancore.cli.folder import experiment_of, explained, writable
    from gancore.errors import RunFolderError, UserError
    from gancore.observe.grid import picture, save

    experiment = experiment_of(run)
    if best:
        chosen = checkpoint.best(run, *(experiment.checkpoint.options.get(name, "") for name in ("best", "best_is")))
        if not chosen:
            raise RunFolderError("has no best checkpoint; [checkpoint] best names the number that decides", run)
        folder, damaged = chosen[0], dict[Path, str]()
        state = checkpoint.load(folder)
    else:
        state, folder, damaged = checkpoint.load_latest(run)
    spec = spec_of(state, folder)
    blueprint = blueprint_of(experiment, spec, Objects())
    with torch.device("meta"):  # no memory is taken before it is known to be what was saved
        expected = blueprint.build("generator").network.state_dict()
    saved = state.get("ema", {})
    if _shapes(expected) != _shapes(saved):
        with explained(experiment, folder):
            raise RunFolderError("its generator is not the one of experiment.toml")
    conditional = spec.classes > 0 and getattr(blueprint.models["generator"], "conditional", False)
    if label is not None and not conditional:
        raise UserError(
            f"--class: {blueprint.where['generator']} is not conditional; train with [model] conditional = true"
        )
    if label is not None and label >= spec.classes:
        raise UserError(f"--class {label}: the data have the classes 0 to {spec.classes - 1}")
    for problem in damaged.values():
        click.echo(f"passed over: {problem}", err=True)
    generator = blueprint.build("generator").network
    generator.load_state_dict(state["ema"])
    generator.eval()
    rng = torch.Generator().manual_seed(seed)
    rows = max(1, count // ROW)
    if interpolate:
        z = _walk(torch.randn(rows + 1, blueprint.latent_dim, generator=rng), ROW)
    else:
        z = torch.randn(count, blueprint.latent_dim, generator=rng)
    y = None
    if spec.classes:
        y = torch.arange(rows).repeat_interleave(ROW) if interpolate else torch.arange(count)
        y = y % spec.classes if label is None else torch.full_like(y, label)
    with torch.no_grad():
        batches = [slice(start, start + BATCH) for start in range(0, len(z), BATCH)]
        fakes = torch.cat([generator(z[batch], None if y is None else y[batch]) for batch in batches])
    file = writable(out) if out else run / "samples" / f"seed-{seed}.png"
    try:
        file.parent.mkdir(exist_ok=True)
        save(picture(fakes, spec), file)
    except OSError as error:
        raise RunFolderError(f"cannot be written: {error.strerror or error}", file) from error
    click.echo(f"{len(fakes)} samples of {folder.name}: {file}")


def _shapes(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "shape", None) for name, value in state.items()}


def _walk(z: "Tensor", steps: int) -> "Tensor":
    """Rows of `steps` latents, one from each z to the next, along the sphere (White 2016, arXiv:1609.04468, section
    2.1)."""
    import torch

    start, end = z[:-1], z[1:]
    cos = torch.nn.functional.cosine_similarity(start, end)[:, None, None]
    angle = cos.clamp(-0.9999, 0.9999).arccos()  # between latents on one line every way along the sphere is as good
    t = torch.linspace(0, 1, steps)[None, :, None]
    mixed = ((1 - t) * angle).sin() / angle.sin() * start[:, None] + (t * angle).sin() / angle.sin() * end[:, None]
    return mixed.flatten(0, 1)
