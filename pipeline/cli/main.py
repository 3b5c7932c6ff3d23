"""The command `groundbreak`: imports a command when it is called; turns an error into one line and an exit code."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperGroup

from pipeline.cli.console import close_streams, open_streams, print_error, write_what_the_terminal_can
from pipeline.cli.general import reset_options, shared_parameters
from pipeline.model.errors import Exit, GroundbreakError

HELP = """Detect new construction in areas of interest on Sentinel-2 imagery.

Exit codes: 0 done; 1 unexpected error; 2 wrong usage, settings or input; 3 some sites failed, the others are
done; 4 nothing new; 130 interrupted.
"""
COMMANDS: Mapping[str, str] = {
    "demo": "the embedded demonstration: three sites, no network",
    "detect": "detect changes in a history or in a new scene",
    "nightly": "process new scenes of every site, send notifications",
    "pair": "outline construction between two acquisitions",
    "scenes": "list the scenes of a site: used, or rejected and why",
    "sites": "check, add and list sites",
    "report": "write report.html again with the latest verdicts",
    "review": "a local page to give verdicts by single keys",
    "export": "write results and looks in formats of other programs",
    "simulate": "a catalogue of simulated looks, with its truth",
    "evaluate": "score alerts against the truth or the verdicts",
    "sensitivity": "probability of detection by building size",
    "status": "last success, newest scene and failures of each site",
    "doctor": "check this machine, with a fix for each error",
}
"""Command -> the line that `groundbreak --help` shows, known without an import of the command.

The module `pipeline.cli.<command>` has a function of the same name, or a Typer application `app` for a group.
"""
METAVARS: Mapping[str, str] = {
    "site": "SITE", "sites": "FILE", "files": "FILE", "file": "FILE", "aoi": "FILE", "to": "PATH", "folder": "DIR",
    "ground": "PATH", "catalog": "PATH_OR_URL", "scene": "ITEM_OR_SAFE", "start": "DAY", "end": "DAY", "until": "DAY",
    "scheduler": "ADDRESS", "config": "FILE", "env_file": "FILE", "form": "FORMAT", "name": "NAME", "identity": "ID",
    "before": "BEFORE", "after": "AFTER",
}  # fmt: skip
"""Parameter -> name of its value in help and error lines, in place of the type."""

# typer brings a click of its own and names only some of its exceptions
ClickException: Any = next(each for each in typer.BadParameter.__mro__ if each.__name__ == "ClickException")


class _Commands(Mapping[str, Any]):
    """The commands by name; each is imported when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = load_command(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class LazyGroup(TyperGroup):
    """A group whose help and options need none of its commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()

    def list_commands(self, _context: Any) -> list[str]:
        """The names of all commands, in the order of the table."""
        return list(COMMANDS)

    def format_commands(self, _context: Any, formatter: Any) -> None:
        """Write the commands with their lines, none of them imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def load_command(name: str) -> Any:
    """A command, imported, with the general options added."""
    import_module("pipeline.catalogue.environment").share_network_settings()
    module = import_module(f"pipeline.cli.{name}")
    application = getattr(module, "app", None)
    if application is None:
        application = _typer_application()
        application.command(name)(getattr(module, name))
    for each in application.registered_commands:
        # docstrings are raw, so the sign that keeps the lines of an example apart stands in them as two letters
        each.help = cleandoc(each.callback.__doc__ or "").replace("\\b", "\b")
    command: Any = typer.main.get_command(application)
    command.name = name
    for each in getattr(command, "commands", {"": command}).values():
        each.params += shared_parameters()
        _name_values(each)
    return command


def _name_values(command: Any) -> None:
    for parameter in command.params:
        if parameter.metavar is None and parameter.name in METAVARS:
            many = "..." if parameter.param_type_name == "argument" and parameter.nargs == -1 else ""
            parameter.metavar = METAVARS[parameter.name] + many


def _typer_application(**settings: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


app = typer.Typer(
    name="groundbreak",
    cls=LazyGroup,
    help=HELP,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root_options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", "-V", help="print the version and stop", is_eager=True),
) -> None:
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"groundbreak {installed_version('groundbreak')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def root_command() -> Any:
    """The whole command, with the general options before a command's name too."""
    command: Any = typer.main.get_command(app)
    command.params += shared_parameters()
    _name_values(command)
    return command


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code; the only place where an error becomes text."""
    # not by way of SIGINT, which a script's background jobs inherit as ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none; under nohup it stays ignored
    if hangup is not None and signal.getsignal(hangup) == signal.SIG_DFL:
        signal.signal(hangup, signal.default_int_handler)
    open_streams()
    write_what_the_terminal_can()
    code = _run_command(sys.argv[1:] if arguments is None else arguments)
    close_streams()
    sys.exit(code)


def _run_command(arguments: list[str]) -> int:
    reset_options()
    try:
        result = root_command().main(arguments, prog_name="groundbreak", standalone_mode=False)
        return int(result) if isinstance(result, int) else Exit.DONE
    except GroundbreakError as error:
        print_error(error)
        return int(error.exit_code)
    except typer.Exit as leave:
        return leave.exit_code
    except ClickException as wrong:
        place = getattr(getattr(wrong, "ctx", None), "command_path", "groundbreak")
        print_error(f"{wrong.format_message().rstrip('.')}: see `{place} --help`")
        return Exit.INPUT
    except BrokenPipeError:
        # the reader of a pipe has gone (`groundbreak sites list | head`): what is left unprinted is not wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except (KeyboardInterrupt, typer.Abort):
        print_error("interrupted: nothing half-written was left; the same command goes on")
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001  (the last of the few places where anything may be caught)
        print_error(f"unexpected {type(error).__name__}: {error}: run again with `groundbreak --debug …` and report it")
        return Exit.ERROR
