"""`groundbreak nightly`: process new scenes of every site, send notifications."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from pipeline.cli.console import print_error, print_note, show_progress
from pipeline.cli.night_log import NightLog, failure_line
from pipeline.cli.site_selection import choose_sites
from pipeline.model.errors import Exit, GroundbreakError
from pipeline.notify.channels import ping_monitor, read_secrets
from pipeline.review.index import write_index
from pipeline.run.absences import note_absences
from pipeline.run.escalation import escalate_failures
from pipeline.run.lock import output_lock
from pipeline.run.metrics import write_metrics
from pipeline.run.nightly import NightOutcome, run_night
from pipeline.run.notifications import notify
from pipeline.run.retention import apply_retention
from pipeline.run.selection import parse_day, site_job


def nightly(
    sites: list[Path] = typer.Option(None, help="AOI files; default: aois/"),
    catalog: str = typer.Option(None, help="catalogue of sites without one"),
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    until: str = typer.Option(None, help="replay the night of this day, into another folder"),
    workers: int = typer.Option(None, min=1, help="sites processed in parallel; default: one per core"),
    scheduler: str = typer.Option(None, help="Dask scheduler for the processing, tcp://host:8786"),
) -> int:
    r"""Process the sites with new scenes, publish their results and send notifications.

    Exit code 4 if nothing was new. On a terminal it shows its progress; elsewhere it writes one JSON line per site.
    out/groundbreak.prom contains metrics, out/feed.xml the alerts of all sites. docs/nightly.md describes webhook, mail
    and dead-man's switch.

    \b
    groundbreak nightly --workers 2
    groundbreak nightly --until 2024-10-05 --out out/replay
    """
    began = time.monotonic()
    asked = choose_sites((), sites or ())
    errors: list[GroundbreakError] = list(asked.errors)
    parse_day(until, "--until", last=True)  # wrong for one site is wrong for all: said once
    jobs, unasked = [], dict[str, GroundbreakError]()
    for place in asked.sites:
        try:
            source = place.catalog or catalog
            jobs.append(site_job(place, asked.settings, catalog=source, start=None, end=until, out=folder))
        except GroundbreakError as error:
            errors.append(error)
            unasked[place.id] = error
    for each in errors:
        print_error(each)
    nights: list[NightOutcome] = []
    log = NightLog()
    with output_lock(folder), show_progress() as step:
        for night in run_night(jobs, folder, workers or os.cpu_count() or 1, step, scheduler, datetime.now(UTC)):
            nights.append(night)
            log.site(night)
        _write_index(folder, nights)
        now = datetime.now(UTC)
        absent = note_absences(folder, unasked, {place.id for place in asked.sites}, now, is_complete=not asked.errors)
        ids = [*(each.site.id for each in jobs), *absent]
        unkept = apply_retention(folder, ids, asked.settings.keep, now)
        failures = [failure_line(night) for night in nights if night.error]
        failures += [f"{site}: {error}" for site, error in absent.items()]
        notified = notify(folder, ids, asked.settings.notify, now, send=until is None, failures=failures)
        unsaid = escalate_failures(folder, ids, asked.settings.notify) if until is None else ()
        printed = {str(night.error) for night in nights}
        for missed in dict.fromkeys(map(str, (*unkept, *notified.errors, *unsaid))):
            if missed not in printed:
                print_note(missed)
        share = (sum(night.error is not None for night in nights) + len(absent)) / max(len(nights) + len(absent), 1)
        went_well = bool(nights) and share <= asked.settings.notify.ping_failed_share
        seconds = time.monotonic() - began
        log.end(nights, seconds)
        try:
            write_metrics(folder, nights, tuple(absent), notified, datetime.now(UTC), seconds, went_well=went_well)
        except GroundbreakError as error:
            print_note(str(error))
    code = _exit_code(nights, errors)
    if until is None and went_well:
        _ping_monitor()
    return code


def _write_index(folder: Path, nights: Sequence[NightOutcome]) -> None:
    """out/index.html, if there is anything new to say; where it cannot be written, the night goes on."""
    if any(night.outcome and night.outcome.published for night in nights):
        try:
            write_index(folder)
        except GroundbreakError as error:
            print_error(error)


def _ping_monitor() -> None:
    """A monitor that hears nothing raises the alarm: it hears of nights that ended with few sites failing."""
    try:
        url = read_secrets().ping_url
        if url:
            ping_monitor(url)
    except GroundbreakError as error:
        print_note(str(error))


def _exit_code(nights: Sequence[NightOutcome], errors: Sequence[GroundbreakError]) -> int:
    failed = [night for night in nights if night.error]
    if not nights and errors:
        return Exit.INPUT
    if failed or errors:
        return Exit.SOME_FAILED
    return Exit.DONE if any(night.outcome for night in nights) else Exit.NOTHING_NEW
