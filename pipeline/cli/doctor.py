"""`groundbreak doctor`: is everything there, and how to mend what is not."""

from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.text import Text

from pipeline.cli.asking import SETTINGS_FILE, default_sites
from pipeline.cli.console import out
from pipeline.model.errors import Exit
from pipeline.model.text import printable
from pipeline.run.doctor import Health, checks

STYLE = {Health.OK: "green", Health.WARNING: "yellow", Health.FAULT: "bold red"}


def doctor(folder: Path = typer.Option(Path("out"), "--out", help="folder where results would go")) -> int:
    r"""Check this machine line by line: versions, drivers, settings, sites, rights, disk, network, clock.

    \b
    groundbreak doctor
    """
    worst = Exit.DONE
    for check in checks(folder, SETTINGS_FILE, default_sites(), datetime.now(UTC)):
        words = printable(f"{check.name}: {check.found}" + (f": {check.mend}" if check.mend else ""))
        out.print(Text(f"{check.health.value:8}", style=STYLE[check.health]).append(words, "none"), soft_wrap=True)
        if check.health is Health.FAULT:
            worst = Exit.INPUT
    return worst
