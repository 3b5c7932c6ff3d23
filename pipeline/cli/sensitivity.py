"""`groundbreak sensitivity`: what a site's silence means."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.table import Table

from pipeline.cli.console import out, print_summary, show_progress
from pipeline.cli.site_selection import choose_sites
from pipeline.evaluation.sensitivity import SIZES, WITHIN, Trial, measure_sensitivity, share_within, summarise_trials
from pipeline.model.errors import Exit
from pipeline.review.folder import Folder, make_folder, replace_file
from pipeline.review.sensitivity_plot import draw_detection
from pipeline.run.selection import require_whole, site_job
from pipeline.study.materials import ROOFS

ROUNDS = 3


def sensitivity(
    site: str = typer.Argument(..., help="id of the site"),
    sites: list[Path] = typer.Option(None, help="AOI files; default: aois/"),
    catalog: str = typer.Option(None, help="STAC file or folder, API root, or folder of .SAFE products"),
    start: str = typer.Option(None, help="first day"),
    end: str = typer.Option(None, help="last day"),
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    rounds: int = typer.Option(
        ROUNDS, min=1, max=100, help="rounds of injected buildings; more give narrower intervals"
    ),
    seed: int = typer.Option(1, min=0, help="same seed, same result"),
) -> int:
    r"""Inject buildings into the site's own looks and count how many are confirmed, by size, material and clear looks.

    \b
    groundbreak sensitivity southern-carpathians --rounds 6
    """
    asked = choose_sites([site], sites or ())
    require_whole(asked.sites[0])
    wanted = site_job(asked.sites[0], asked.settings, catalog=catalog, start=start, end=end, out=folder)
    with show_progress() as step:
        trials = measure_sensitivity(wanted, rounds, seed, step)
    words = summarise_trials(trials, wanted.settings.decide.false_alarms_per_100km2_year)
    _print_trials(trials)
    out.print(words, markup=False)
    place = make_folder(folder / wanted.site.id)
    _write_trials(place, trials, words)
    print_summary(f"\nWritten: {place.detection}, {place.detection_picture}; `groundbreak report` shows it")
    return Exit.DONE


def _print_trials(trials: Sequence[Trial]) -> None:
    table = Table(title="Share confirmed, by number of clear looks", title_justify="left")
    for column in ("", *(f"{count} looks" for count in WITHIN), "95 % at 5"):
        table.add_column(column)
    for label, key in (("size", SIZES), ("material", tuple(ROOFS))):
        for value in key:
            group = [trial for trial in trials if getattr(trial, label) == value]
            shares = [share_within(group, count) for count in WITHIN]
            low, high = share_within(group, 5).interval
            cells = [f"{each.hits} of {each.total}" if each.total else "-" for each in shares]
            table.add_row(value, *cells, f"{low:.0%} to {high:.0%}")
    out.print(table)


def _write_trials(place: Folder, trials: Sequence[Trial], words: str) -> None:
    groups = {size: [share_within([t for t in trials if t.size == size], count) for count in WITHIN] for size in SIZES}
    rows = {size: [(each.value, *each.interval) for each in shares] for size, shares in groups.items()}
    # JSON has no NaN: a share of no trial is null
    known = {size: [[v if v == v else None for v in share] for share in shares] for size, shares in rows.items()}
    tried = [dataclasses.asdict(trial) for trial in trials]
    record = {"sentence": words, "within": WITHIN, "rows": known, "trials": tried}
    with replace_file(place.detection) as beside:
        beside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draw_detection(place.detection_picture, WITHIN, rows)
