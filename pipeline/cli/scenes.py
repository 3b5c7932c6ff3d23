"""`groundbreak scenes`: every scene of a site, used or rejected, and the number that decided."""

from pathlib import Path

import typer

from pipeline.cli.asking import ask, held_whole, question
from pipeline.cli.console import error, narrow, out, progress
from pipeline.model.errors import Exit
from pipeline.model.imagery import SceneRecord
from pipeline.run.judge import survey


def scenes(
    site: str = typer.Argument(..., help="id of the site"),
    sites: list[Path] = typer.Option(None, help="AOI files; default: aois/"),
    catalog: str = typer.Option(None, help="STAC file or folder, API root, or folder of .SAFE products"),
    start: str = typer.Option(None, help="first day"),
    end: str = typer.Option(None, help="last day"),
) -> int:
    r"""List every scene found over a site: used, or rejected and by which number.

    \b
    groundbreak scenes southern-carpathians --end 2017-12-31
    """
    asked = ask([site], sites or ())
    held_whole(asked.sites[0])
    with progress() as step:
        records, faults = survey(question(asked.sites[0], asked.settings, catalog=catalog, start=start, end=end), step)
    title = f"Scenes over {asked.sites[0].name} (shift: rows, columns of 10 m)"
    table = narrow(title, "UTC", "scene", "clear", "shift", "reliable", "rejected for", numbers=("clear", "reliable"))
    for record in records:
        table.add_row(*_row(record))
    out.print(table)
    used = sum(record.used for record in records)
    out.print(f"{used} used, {len(records) - used} rejected, {len(faults)} unreadable", markup=False)
    for fault in faults:
        error(fault)
    if not records:
        return Exit.SOME_FAILED if faults else Exit.NOTHING_NEW
    return Exit.DONE


def _row(record: SceneRecord) -> tuple[str, ...]:
    shift = "" if record.shift is None else f"{record.shift[0]:+.2f}, {record.shift[1]:+.2f}"
    return (
        f"{record.time:%Y-%m-%d\n%H:%M}",
        record.scene,
        "" if record.clear_share is None else f"{record.clear_share:.0%}",
        shift,
        "" if record.reliability is None else f"{record.reliability:.2f}",
        why(record),
    )


def why(record: SceneRecord) -> str:
    """The reason and the number that decided, e.g. `too little clear ground: 0.03, limit 0.10`."""
    number = "" if record.value is None else f": {record.value:.3g}"
    limit = "" if record.limit is None else f", limit {record.limit:.3g}"
    clause = f" ({record.note})" if record.note else ""
    return f"{record.reason}{number}{limit}{clause}"
