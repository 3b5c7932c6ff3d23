"""`groundbreak doctor`: checks of this machine, with a fix for each problem."""

from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.text import Text

from pipeline.cli.console import out, write_json
from pipeline.cli.general import general
from pipeline.model.errors import Exit
from pipeline.model.text import printable
from pipeline.run.doctor import Check, Health, run_checks
from pipeline.run.selection import AOIS, SETTINGS_FILE

STYLE = {Health.OK: "green", Health.WARNING: "yellow", Health.ERROR: "bold red"}


def doctor(
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    as_json: bool = typer.Option(False, "--json", help="print the checks as JSON"),
) -> int:
    r"""Check this machine: versions, drivers, settings, sites, permissions, disk, network, clock.

    \b
    groundbreak doctor
    """
    done: list[Check] = []
    for check in run_checks(folder, general.config or SETTINGS_FILE, AOIS, datetime.now(UTC)):
        done.append(check)
        if not as_json:
            _print_check(check)
    if as_json:
        write_json({"checks": [_json_fields(check) for check in done]})
    return Exit.INPUT if any(check.health is Health.ERROR for check in done) else Exit.DONE


def _json_fields(check: Check) -> dict[str, str]:
    """Fields of a check in the JSON answer, whose keys are part of the interface."""
    return {"name": check.name, "health": check.health, "found": check.found, "mend": check.fix}


def _print_check(check: Check) -> None:
    words = printable(f"{check.name}: {check.found}" + (f": {check.fix}" if check.fix else ""))
    out.print(Text(f"{check.health.value:8}", style=STYLE[check.health]).append(words, "none"), soft_wrap=True)
