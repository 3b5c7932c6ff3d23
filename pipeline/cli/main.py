"""The command `groundbreak`: registers one file a command and turns every fault into one line and an exit code."""

import signal
import sys
from importlib.metadata import version as installed_version
from inspect import cleandoc
from typing import Any

import typer

from pipeline.cli.console import error, is_debugging
from pipeline.cli.detect import detect
from pipeline.cli.doctor import doctor
from pipeline.cli.evaluate import evaluate
from pipeline.cli.export import export
from pipeline.cli.nightly import nightly
from pipeline.cli.pair import pair
from pipeline.cli.report import report
from pipeline.cli.review import review
from pipeline.cli.scenes import scenes
from pipeline.cli.sensitivity import sensitivity
from pipeline.cli.simulate import simulate
from pipeline.cli.sites import app as sites
from pipeline.model.errors import Exit, GroundbreakError

HELP = """Watch places on public Sentinel-2 imagery: what was built, since when, how big, how surely.

Exit codes: 0 done; 1 unexpected fault; 2 wrong usage, settings or input; 3 some sites failed, the others are
done; 4 nothing new; 130 interrupted.
"""

# typer brings a click of its own and names only some of its exceptions
ClickException: Any = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")

app = typer.Typer(
    name="groundbreak",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(detect)
app.command()(nightly)
app.command()(pair)
app.command()(scenes)
app.add_typer(sites, name="sites")
app.command()(report)
app.command()(export)
app.command()(review)
app.command()(simulate)
app.command()(evaluate)
app.command()(sensitivity)
app.command()(doctor)
for _each in (*app.registered_commands, *sites.registered_commands):
    if _each.callback and _each.callback.__doc__:
        # docstrings are raw, so the sign that keeps the lines of an example apart stands in them as two letters
        _each.help = cleandoc(_each.callback.__doc__).replace("\\b", "\b")


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="print the version and stop", is_eager=True),
    debug: bool = typer.Option(False, "--debug", help="show the traceback of a fault"),
) -> None:
    is_debugging(debug)
    if version:
        typer.echo(f"groundbreak {installed_version('groundbreak')}")
        raise typer.Exit


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code; the only place where a fault becomes text."""
    # not by way of SIGINT, which a script's background jobs inherit as ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    try:
        result = app(arguments, standalone_mode=False)
        return int(result) if isinstance(result, int) else Exit.DONE
    except GroundbreakError as fault:
        error(fault)
        return int(fault.exit_code)
    except typer.Exit as leave:
        return leave.exit_code
    except ClickException as wrong:
        error(f"{wrong.format_message()}: see `groundbreak --help`")
        return Exit.INPUT
    except (KeyboardInterrupt, typer.Abort):
        error("interrupted: nothing half-written was left; the same command goes on")
        return Exit.INTERRUPTED
    except Exception as fault:  # noqa: BLE001  (the last of the few places where anything may be caught)
        error(f"unexpected {type(fault).__name__}: {fault}: run again with `groundbreak --debug …` and report it")
        return Exit.FAULT
