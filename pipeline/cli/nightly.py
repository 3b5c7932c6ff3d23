"""`groundbreak nightly`: every site, only what is new."""

import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from pipeline.cli.asking import ask, day, question
from pipeline.cli.console import error, is_terminal, note, progress, say
from pipeline.model.errors import Exit, GroundbreakError
from pipeline.review.report import write_index
from pipeline.run.channels import ping, read_secrets
from pipeline.run.keep import keep
from pipeline.run.lock import alone
from pipeline.run.metrics import write_metrics
from pipeline.run.nightly import NightOutcome
from pipeline.run.nightly import nightly as work
from pipeline.run.notify import notify


def nightly(
    sites: list[Path] = typer.Option(None, help="AOI files; default: aois/"),
    catalog: str = typer.Option(None, help="catalogue for sites that name none of their own"),
    folder: Path = typer.Option(Path("out"), "--out", help="where results go"),
    until: str = typer.Option(None, help="replay the night of this day; into a folder of its own"),
    workers: int = typer.Option(None, min=1, help="sites judged side by side; default: one a core"),
    scheduler: str = typer.Option(None, help="Dask scheduler whose workers judge, tcp://host:8786"),
) -> int:
    r"""Look at every site, judge those that have something new, stay quiet about the others.

    Exit code 4 where there was nothing new anywhere. On a terminal it shows its progress; elsewhere it writes one JSON
    line a site, for a journal. out/groundbreak.prom holds the figures for a monitor, out/feed.xml the news of all
    sites; webhook, mail and dead-man's switch: docs/nightly.md.

    \b
    groundbreak nightly --workers 2
    groundbreak nightly --until 2024-10-05 --out out/replay
    """
    began = time.monotonic()
    asked = ask((), sites or ())
    faults: list[GroundbreakError] = list(asked.faults)
    day(until, "--until", last=True)  # wrong for one site is wrong for all: said once
    questions = []
    for place in asked.sites:
        try:
            source = place.catalog or catalog
            questions.append(question(place, asked.settings, catalog=source, start=None, end=until, out=folder))
        except GroundbreakError as fault:
            faults.append(fault)
    for each in faults:
        error(each)
    nights: list[NightOutcome] = []
    with alone(folder), progress() as step:
        for night in work(questions, folder, workers or os.cpu_count() or 1, step, scheduler):
            nights.append(night)
            _tell(night)
        _index(folder, nights)
        ids = [each.site.id for each in questions]
        now = datetime.now(UTC)
        unkept = keep(folder, ids, asked.settings.keep, now)
        told = notify(folder, ids, asked.settings.notify, now, aloud=until is None)
        for missed in (*unkept, *told.faults):
            note(str(missed))
        write_metrics(folder / "groundbreak.prom", nights, told, datetime.now(UTC), time.monotonic() - began)
    code = _exit_code(nights, faults)
    if until is None and code in (Exit.DONE, Exit.NOTHING_NEW):
        _alive()
    return code


def _index(folder: Path, nights: Sequence[NightOutcome]) -> None:
    """out/index.html, if there is anything new to say; where it cannot be written, the night goes on."""
    if any(night.outcome and night.outcome.published for night in nights):
        try:
            write_index(folder)
        except GroundbreakError as fault:
            error(fault)


def _alive() -> None:
    """A monitor that hears nothing raises the alarm: so it hears of nights that went well, and of no other."""
    try:
        url = read_secrets().ping_url
        if url:
            ping(url)
    except GroundbreakError as fault:
        note(str(fault))


def _tell(night: NightOutcome) -> None:
    site = night.question.site.id
    failed = night.fault
    lost = night.outcome.faults if night.outcome else ()
    for fault in (*lost, *((failed,) if failed else ())):
        error(fault)
    for remark in night.notes:
        note(remark)
    if night.warning:
        note(f"{site}: {night.warning}")
    if is_terminal():
        if night.outcome is not None and night.outcome.published is not None:
            words = f"{len(night.night.new)} new scenes, {night.outcome.published.changed} alerts changed"
            say(f"{site}: {words}")
        return
    changed = night.outcome.published.changed if night.outcome and night.outcome.published else 0
    line = {
        "site": site,
        "new": len(night.night.new),
        "changed": len(night.night.changed),
        "withdrawn": len(night.night.withdrawn),
        "alerts_changed": changed,
        "fault": str(failed) if failed else None,
        "warning": night.warning or None,
    }
    say(json.dumps(line))


def _exit_code(nights: Sequence[NightOutcome], faults: Sequence[GroundbreakError]) -> int:
    failed = [night for night in nights if night.fault]
    if not nights and faults:
        return Exit.INPUT
    if failed or faults:
        return Exit.SOME_FAILED
    return Exit.DONE if any(night.outcome for night in nights) else Exit.NOTHING_NEW
