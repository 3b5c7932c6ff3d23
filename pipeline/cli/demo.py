"""`groundbreak demo`: the embedded demonstration, in any folder and without a network."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.table import Table

from pipeline.cli.console import narrow_table, print_note, print_summary
from pipeline.cli.detect import exit_code, run_sites
from pipeline.cli.site_selection import choose_sites
from pipeline.evaluation.measures import Measures, TrueChange, evaluate_review
from pipeline.evaluation.reviewed import read_review, read_scope, read_truth
from pipeline.model.alert import Kind, Status
from pipeline.review.layout import Results
from pipeline.review.summary import PLURALS, SINGULARS
from pipeline.run.detect import SiteOutcome
from pipeline.run.selection import packaged_aois, site_job

FURTHER = """
Next, a real place (needs a connection):
  {program} detect february-11-plant --start 2023-01-01
or one of your own:
  {program} sites add --lon 127.6568 --lat 39.9209 --name "My plant\""""


def demo(
    folder: Path = typer.Option(Path("out"), "--out", help="folder of the results"),
    workers: int = typer.Option(None, min=1, help="sites processed in parallel; default: one per core"),
) -> int:
    r"""Run the embedded demonstration: three sites, no network.

    The published story of the February 11 plant on simulated pixels, with truth beside found; the same works had
    nothing been built; and a kilometre of the Southern Carpathians as it was recorded from 2015 to 2021.

    \b
    groundbreak demo
    groundbreak demo --out tour
    """
    asked = choose_sites((), [packaged_aois() / "demo.geojson"])
    jobs = [site_job(site, asked.settings, catalog=None, start=None, end=None, out=folder) for site in asked.sites]
    outcomes = run_sites(jobs, folder, workers or os.cpu_count() or 1)
    order = [site.id for site in asked.sites]
    outcomes.sort(key=lambda outcome: order.index(outcome.site.id))
    if any(outcome.published for outcome in outcomes):
        for number, outcome in enumerate(outcomes, 1):
            _print_site(number, outcome, folder)
        _print_files(outcomes, folder)
        print_summary(FURTHER.format(program=program_name()))
    return exit_code(outcomes, asked.errors)


def _print_site(number: int, outcome: SiteOutcome, folder: Path) -> None:
    """What one site shows, in a few lines; where its truth is known, beside what was found."""
    print_summary(f"\n{number}. {outcome.site.name}")
    if outcome.decision is None:
        print_summary("   failed, see above")
        return
    used = [record for record in outcome.records if record.used]
    years = (used[-1].time - used[0].time).days / 365.25 if used else 0
    count = f"{len(used)} of {len(outcome.records)} scenes used"
    print_summary(f"   {years:.1f} years, {count}; the rest too cloudy or not reliable\n")
    kinds = Counter(alert.kind for alert in outcome.decision.alerts if alert.status is not Status.WITHDRAWN)
    truth = outcome.site.properties.get("truth")
    if truth is not None and any(kinds.values()):
        measures = measure_site(Results(folder).site(outcome.site.id).gpkg, packaged_aois() / str(truth))
        print_summary(truth_table(measures), *(f"   {line}" for line in truth_lines(measures)))
    elif not kinds:
        print_summary("   No alert, and nothing was built here: silence is an answer too.")
    else:
        print_summary(
            f"   {_count_kind(Kind.NEW_STRUCTURE, kinds.pop(Kind.NEW_STRUCTURE, 0))}. Folded in the report: "
            + (", ".join(_count_kind(kind, count) for kind, count in kinds.most_common()) or "nothing")
        )
    for caution in outcome.decision.cautions:
        print_note(f"{outcome.site.id}: {caution}")
    for remark in outcome.published.notes if outcome.published else ():
        print_note(f"{outcome.site.id}: {remark}")


def _count_kind(kind: Kind, count: int) -> str:
    return f"{count} {(SINGULARS if count == 1 else PLURALS)[kind.value]}"


def measure_site(review: Path, truth: Path) -> Measures:
    """The results of a demonstration site against its truth."""
    reviewed = read_review(review)
    return evaluate_review(reviewed, read_truth(truth, reviewed.crs), read_scope(truth, reviewed.crs))


def truth_rows(sought: Sequence[TrueChange]) -> list[tuple[str, ...]]:
    """One row for each change: what was built, its size and first visible day, and what was found of it."""
    rows: list[tuple[str, ...]] = []
    for each in sorted(sought, key=lambda each: (str(each.begins), each.id)):
        found = ("not found", "", "") if not each.found else (each.called, f"{each.iou:.2f}", str(each.first_seen))
        rows.append((each.id, each.size, str(each.begins), *found))
    return rows


HEADINGS = ("drawn", "size", "visible from", "found as", "IoU", "first seen")


def truth_table(measures: Measures) -> Table:
    """Truth beside found."""
    table = narrow_table("Drawn by the program, and found", *HEADINGS)
    for row in truth_rows(measures.sought):
        table.add_row(*row)
    return table


def truth_lines(measures: Measures) -> list[str]:
    """Recall, alerts that cover several changes, and false alerts, as sentences."""
    found = [each for each in measures.sought if each.found]
    lines = [f"{len(found)} of {len(measures.sought)} changes found, {len(measures.wrong)} false confirmed alerts"]
    if measures.wrong:
        lines[0] += f" (on {', '.join(wrong.hits for wrong in measures.wrong)})"
    several = [claim for claim, count in Counter(each.claim for each in found).items() if count > 1]
    if several:
        lines.append(f"{len(several)} alerts outline several neighbouring changes as one, so their IoU is low")
    return [f"{line}." for line in lines]


def _print_files(outcomes: Sequence[SiteOutcome], folder: Path) -> None:
    print_summary("\nTo open:")
    print_summary(f"  {Results(folder).index}  all three, in a browser")
    for outcome in outcomes:
        if outcome.published:
            print_summary(f"  {Results(folder).site(outcome.site.id).report}")
    print_summary(f"  {Results(folder).site(outcomes[0].site.id).project}  in QGIS")
    print_summary("\nTo give verdicts by single keys, in a browser:")
    elsewhere = "" if folder == Path("out") else f" --out {folder}"
    print_summary(f"  {program_name()} review {outcomes[0].site.id}{elsewhere}")


def program_name() -> str:
    """What to type for `groundbreak` here: its path where the shell would not find it."""
    if shutil.which("groundbreak"):
        return "groundbreak"
    beside = Path(sys.executable).with_name("groundbreak")
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)
