"""`groundbreak scenes`: every scene of a site, used or rejected, and the number that decided."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from pipeline.cli.console import narrow_table, out, print_error, show_progress, write_json
from pipeline.cli.site_selection import choose_sites
from pipeline.model.errors import Exit
from pipeline.model.imagery import SceneRecord
from pipeline.run.process_site import survey_scenes
from pipeline.run.selection import require_whole, site_job


def scenes(
    site: str = typer.Argument(..., help="id of the site"),
    sites: list[Path] = typer.Option(None, help="AOI files; default: aois/"),
    catalog: str = typer.Option(None, help="STAC file or folder, API root, or folder of .SAFE products"),
    start: str = typer.Option(None, help="first day"),
    end: str = typer.Option(None, help="last day"),
    as_json: bool = typer.Option(False, "--json", help="print the scenes as JSON instead of a table"),
) -> int:
    r"""List the scenes of a site: used, or rejected, with the deciding number.

    \b
    groundbreak scenes southern-carpathians --end 2017-12-31
    """
    asked = choose_sites([site], sites or ())
    require_whole(asked.sites[0])
    with show_progress() as step:
        records, errors = survey_scenes(
            site_job(asked.sites[0], asked.settings, catalog=catalog, start=start, end=end), step
        )
    if as_json:
        write_json({"site": asked.sites[0].id, "scenes": [_json_fields(each) for each in records],
                    "errors": [str(error) for error in errors]})  # fmt: skip
    else:
        _print_records(asked.sites[0].name, records, len(errors))
    for error in errors:
        print_error(error)
    if not records:
        return Exit.SOME_FAILED if errors else Exit.NOTHING_NEW
    return Exit.DONE


def _json_fields(record: SceneRecord) -> dict[str, Any]:
    """What --json gives for one scene: the columns of `scenes`, the footprint as WKT."""
    facts = {name: getattr(record, name) for name in SceneRecord.__dataclass_fields__}
    return facts | {"footprint": None if record.footprint is None else record.footprint.wkt}


def _print_records(name: str, records: Sequence[SceneRecord], unreadable: int) -> None:
    title = f"Scenes over {name} (shift: rows, columns of 10 m)"
    table = narrow_table(
        title, "scene, UTC", "clear", "shift", "reliable", "rejected for", numbers=("clear", "shift", "reliable")
    )
    for record in records:
        table.add_row(*_table_row(record))
    out.print(table)
    used = sum(record.used for record in records)
    out.print(f"{used} used, {len(records) - used} rejected, {unreadable} unreadable", markup=False)


def _table_row(record: SceneRecord) -> tuple[str, ...]:
    shift = "" if record.shift is None else f"{record.shift[0]:+.2f},\n{record.shift[1]:+.2f}"
    return (
        f"{record.scene}\n{record.time:%Y-%m-%d %H:%M}",
        "" if record.clear_share is None else f"{record.clear_share:.0%}",
        shift,
        "" if record.reliability is None else f"{record.reliability:.2f}",
        describe_rejection(record),
    )


def describe_rejection(record: SceneRecord) -> str:
    """The reason and the number that decided, e.g. `too little clear ground: 0.03, limit 0.10`."""
    number = "" if record.value is None else f": {record.value:.3g}"
    limit = "" if record.limit is None else f", limit {record.limit:.3g}"
    clause = f" ({record.note})" if record.note else ""
    return f"{record.reason}{number}{limit}{clause}"
