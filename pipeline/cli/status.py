"""`groundbreak status`: how each site fares."""

import dataclasses
from pathlib import Path

import typer

from pipeline.cli.console import narrow_table, out, write_json
from pipeline.model.errors import Exit, UsageError
from pipeline.review.layout import Results
from pipeline.run.ledger import Ledger


def status(
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    as_json: bool = typer.Option(False, "--json", help="print one JSON document instead of a table"),
) -> int:
    r"""Show the last success, the newest scene, and the failed nights in a row of each site.

    \b
    groundbreak status
    groundbreak status --json
    """
    path = Results(folder).ledger
    if not path.exists():
        raise UsageError("no night yet", str(folder), "run `groundbreak nightly`, or name its folder with --out")
    ledger = Ledger(path)
    try:
        entries = ledger.sites().values()
    finally:
        ledger.close()
    if as_json:
        hidden = ("place",)
        write_json(
            [
                {name: value for name, value in dataclasses.asdict(entry).items() if name not in hidden}
                for entry in entries
            ]
        )
        return Exit.DONE
    table = narrow_table("Sites", "site", "last success", "last scene", "failed", "why", numbers=("failed",))
    for entry in sorted(entries, key=lambda each: (-each.failures, each.site)):
        success, scene = (moment[:10] or "never" for moment in (entry.success, entry.last_scene))
        failed = str(entry.failures) if entry.failures else ""
        table.add_row(entry.site, success, scene, failed, entry.error if entry.failures else "")
    out.print(table)
    return Exit.DONE
