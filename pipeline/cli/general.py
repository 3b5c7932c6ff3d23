"""Options that every command accepts, before or after its name: verbosity, settings file, environment file."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from pipeline.model.errors import UsageError


@dataclass(slots=True)
class General:
    """The general options of this process. config: the settings file that was named, None = the default one."""

    verbose: int = 0
    quiet: bool = False
    debug: bool = False
    config: Path | None = None


general = General()


def reset_options() -> None:
    """Forget the options of an earlier command line in the same process."""
    general.verbose, general.quiet, general.debug, general.config = 0, False, False, None


def declare_options(
    verbose: int = typer.Option(
        0, "-v", "--verbose", count=True, show_default=False, help="more detail on stderr; -vv: HTTP requests too"
    ),
    quiet: bool = typer.Option(False, "-q", "--quiet", help="no progress and no summary, only warnings and errors"),
    config: Path = typer.Option(
        None, envvar="GROUNDBREAK_CONFIG", help="settings file; default: groundbreak.toml of this folder"
    ),
    env_file: Path = typer.Option(None, help="file of NAME=value lines with secrets; the environment has priority"),
    debug: bool = typer.Option(False, "--debug", help="show the traceback of an error"),
) -> None:
    """Declare the general options; `shared_parameters` adds them to each command."""


def shared_parameters() -> list[Any]:
    """Parameters of `declare_options` for one command: each takes effect when it is parsed and is not passed on."""
    app = typer.Typer(add_completion=False)
    app.command()(declare_options)
    params: list[Any] = list(typer.main.get_command(app).params)
    for each in params:
        each.expose_value = False
        each.callback = _apply_option
    return params


def _apply_option(_context: Any, parameter: Any, value: Any) -> Any:
    """Take over a value that was given; a default must not undo an option before the name of the command."""
    if not value:
        return value
    if parameter.name == "env_file":
        _load_env_file(Path(value))
    elif parameter.name == "config":
        general.config = _existing_file(Path(value), "--config")
    else:
        setattr(general, parameter.name, value)
    if parameter.name == "verbose":
        logging.basicConfig(format="%(name)s: %(message)s", level=logging.DEBUG if value > 1 else logging.INFO)
        for noisy in ("matplotlib", "PIL", "rasterio", "fiona", "asyncio"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
    return value


def _existing_file(path: Path, flag: str) -> Path:
    if not path.is_file():
        raise UsageError("no such file", f"{flag} {path}", "name a file that exists")
    return path


def _load_env_file(path: Path) -> None:
    """Put the variables of a file into the environment. A value extends to the end of its line, as for systemd."""
    from dotenv import load_dotenv

    try:
        load_dotenv(_existing_file(path, "--env-file"), override=False, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", f"--env-file {path}", "make it a readable UTF-8 file") from error
