"""`gancore init`."""

from pathlib import Path

import click


@click.command(
    short_help="Write a commented experiment to start from.",
    epilog="Example: gancore init rings.toml --data ring --loss relativistic",
)
@click.argument("file", type=click.Path(path_type=Path), default="experiment.toml")
@click.option("--data", default="digits", show_default=True, help="A dataset; `gancore list dataset`.")
@click.option("--model", default="mlp", show_default=True, help="A model; `gancore list model`.")
@click.option("--loss", default="wgan-gp", show_default=True, help="A loss; `gancore list loss`.")
@click.option("--optimizer", default="adam", show_default=True, help="An optimizer; `gancore list optimizer`.")
def init(file: Path, data: str, model: str, loss: str, optimizer: str) -> None:
    """Write a commented experiment to FILE: every option of the chosen components, with its default and meaning."""
    from gancore.errors import RunFolderError
    from gancore.experiment.template import template
    from gancore.registry import Registry

    text = template(Registry.discover(), {"data": data, "model": model, "loss": loss, "optimizer": optimizer})
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise RunFolderError("exists already; it is left as it is", file) from error
    except OSError as error:
        raise RunFolderError(f"cannot be written: {error.strerror}", file) from error
    click.echo(f"{file}: now `gancore check {file}`, then `gancore train {file}`")
