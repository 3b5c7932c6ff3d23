"""`groundbreak detect`: judge a whole history, or one new scene against it."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from pipeline.cli.console import (
    narrow_table,
    print_detail,
    print_error,
    print_note,
    print_summary,
    show_progress,
    write_json,
)
from pipeline.cli.site_selection import choose_sites
from pipeline.model.alert import Status
from pipeline.model.errors import Exit, GroundbreakError
from pipeline.review.layout import Results
from pipeline.run.detect import SiteOutcome, detect_sites
from pipeline.run.lock import output_lock
from pipeline.run.process_site import SiteJob
from pipeline.run.selection import parse_day, site_job


def detect(
    site: list[str] = typer.Argument(None, help="ids of sites; default: every site of --sites"),
    sites: list[Path] = typer.Option(None, help="AOI files (GeoJSON, GPKG, KML); default: aois/"),
    catalog: str = typer.Option(None, help="STAC file or folder, API root, or folder of .SAFE products"),
    scene: list[str] = typer.Option(None, help="an additional scene: a STAC item or a .SAFE product"),
    start: str = typer.Option(None, help="first day, 2023-01-31"),
    end: str = typer.Option(None, help="last day"),
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    workers: int = typer.Option(None, min=1, help="sites processed in parallel; default: one per core"),
    scheduler: str = typer.Option(None, help="Dask scheduler for the processing, tcp://host:8786"),
    as_json: bool = typer.Option(False, "--json", help="print the result as JSON instead of tables"),
) -> int:
    r"""Detect changes at sites; write polygons, pictures and a QGIS project.

    \b
    groundbreak detect --sites aois/demo.geojson
    groundbreak detect february-11-plant --start 2023-01-01
    groundbreak detect february-11-plant --scene S2B_MSIL2A_20260527T….SAFE
    """
    asked = choose_sites(site or (), sites or ())
    for error in asked.errors:
        print_error(error)
    parse_day(start, "--start"), parse_day(end, "--end", last=True)  # wrong for one site is wrong for all: said once
    jobs, errors = [], list(asked.errors)
    for place in asked.sites:
        try:
            jobs.append(
                site_job(place, asked.settings, catalog=catalog, start=start, end=end, scenes=scene or (), out=folder)
            )
        except GroundbreakError as error:
            print_error(error)
            errors.append(error)  # type: ignore[arg-type]
    outcomes = run_sites(jobs, folder, workers or os.cpu_count() or 1, scheduler)
    if as_json:
        write_json(
            {"sites": [_json_fields(each, folder) for each in outcomes], "errors": [str(error) for error in errors]}
        )
    elif any(outcome.published for outcome in outcomes):
        print_outcomes(outcomes, folder)
    return exit_code(outcomes, errors)


def run_sites(jobs: Sequence[SiteJob], folder: Path, workers: int, scheduler: str | None = None) -> list[SiteOutcome]:
    """Judge and publish the sites with a progress bar; errors are printed as they occur."""
    outcomes: list[SiteOutcome] = []
    with output_lock(folder), show_progress() as step:
        for outcome in detect_sites(jobs, folder, workers, step, scheduler):
            outcomes.append(outcome)
            for lost in (*outcome.errors, *((outcome.error,) if outcome.error else ())):
                print_error(lost)
            reasons = Counter(record.reason for record in outcome.records if not record.used)
            split = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "none"
            print_detail(f"{outcome.site.id}: {outcome.seconds:.1f} s; scenes rejected: {split}")
    return outcomes


def _json_fields(outcome: SiteOutcome, folder: Path) -> dict[str, Any]:
    """What --json gives for one site."""
    facts: dict[str, Any] = {
        "site": outcome.site.id,
        "name": outcome.site.name,
        "error": str(outcome.error) if outcome.error else None,
        "warnings": [str(error) for error in outcome.errors],
        "scenes": len(outcome.records),
        "scenes_used": sum(record.used for record in outcome.records),
        "folder": str(folder / outcome.site.id) if outcome.published else None,
    }
    if outcome.decision is not None:
        facts["cautions"] = outcome.decision.cautions
        facts["changes"] = [
            {"change_id": alert.id, **{name: value for name, value in dataclasses.asdict(alert).items()
                                       if name not in ("id", "outline")}}
            for alert in outcome.decision.alerts
        ]  # fmt: skip
    return facts


def exit_code(outcomes: Sequence[SiteOutcome], errors: Sequence[GroundbreakError]) -> int:
    """0 all done; 3 some or all of the judged sites failed; 2 nothing could be tried because of the input."""
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if not outcomes:
        return max((int(error.exit_code) for error in errors), default=int(Exit.NOTHING_NEW))
    if not failed and not errors:
        return Exit.DONE
    if len(failed) == len(outcomes) == 1 and not errors:
        return int(failed[0].exit_code)
    return Exit.SOME_FAILED


def print_outcomes(outcomes: Sequence[SiteOutcome], folder: Path) -> None:
    """The closing table, cautions, and the files to open."""
    table = narrow_table("What was found", "site", "used", "alerts", "kinds", numbers=("used",))
    for outcome in outcomes:
        if outcome.decision is None:
            table.add_row(outcome.site.id, "-", "failed, see above", "")
            continue
        shown = [alert for alert in outcome.decision.alerts if alert.status is not Status.WITHDRAWN]
        used = sum(record.used for record in outcome.records)
        table.add_row(
            outcome.site.id,
            f"{used} of {len(outcome.records)}",
            _count_words(alert.status.value for alert in outcome.decision.alerts),
            _count_words(alert.kind.value for alert in shown),
        )
    print_summary(table)
    for outcome in outcomes:
        for caution in outcome.decision.cautions if outcome.decision else ():
            print_note(f"{outcome.site.id}: {caution}")
        for remark in outcome.published.notes if outcome.published else ():
            print_note(f"{outcome.site.id}: {remark}")
    print_summary("\nTo open:")
    for outcome in outcomes:
        if outcome.published:
            print_summary(f"  {Results(folder).site(outcome.site.id).project}   in QGIS")
            print_summary(f"  {Results(folder).site(outcome.site.id).report}  in a browser")
    print_summary("\nWhat became of each scene: groundbreak scenes SITE")


def _count_words(words: Iterable[str]) -> str:
    counts = Counter(words)
    return "\n".join(f"{count} {word}" for word, count in sorted(counts.items())) or "none"
