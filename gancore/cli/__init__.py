"""The command line: one file per command, heavy imports inside the command, so that `--help` answers at once.

Exit codes: 0; 1 a run that failed; 2 a user's mistake; 130 or 143 a run that SIGINT or SIGTERM has interrupted, after
its checkpoint: `gancore resume` goes on.
"""

import os
import sys

import click

from gancore import __version__
from gancore.cli.check import check
from gancore.cli.check_plugin import check_plugin
from gancore.cli.checkpoint import checkpoint
from gancore.cli.doctor import doctor
from gancore.cli.hooks import hooks
from gancore.cli.init import init
from gancore.cli.list import list_
from gancore.cli.new_plugin import new_plugin
from gancore.cli.plugins import plugins
from gancore.cli.probe import probe
from gancore.cli.replay import replay
from gancore.cli.resume import resume
from gancore.cli.sample import sample
from gancore.cli.schema import schema
from gancore.cli.show import show
from gancore.cli.train import train
from gancore.cli.verify_resume import verify_resume
from gancore.errors import GancoreError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="gancore")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Train GANs from a TOML file, every piece of it from an installed plugin.

    \b
    Start here:
      gancore init my.toml      write a commented experiment
      gancore check my.toml     see what it would train
      gancore train my.toml     train it; Ctrl-C ends with a checkpoint
      gancore sample runs/my-1  make a picture
      gancore doctor runs/my-1  see where the gradient dies, and what to change
    """


for command in (
    train,
    resume,
    check,
    probe,
    doctor,
    sample,
    plugins,
    list_,
    show,
    schema,
    init,
    check_plugin,
    new_plugin,
    hooks,
    replay,
    checkpoint,
    verify_resume,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors of ours become a message and an exit code, never a traceback unless `--debug`
    asks."""
    debug = "--debug" in sys.argv[1:2]
    # Read when torch is loaded: threads that spin lose all to a busy core, see gancore.training.threads.
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        sys.exit(cli.main(standalone_mode=False, prog_name="gancore"))
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except GancoreError as error:
        if debug:
            raise
        click.echo(error, err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        click.echo(
            f"{type(error).__name__}: {error}\n(an error in gancore or a plugin; `gancore --debug ...` shows where)",
            err=True,
        )
        sys.exit(1)
