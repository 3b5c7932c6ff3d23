"""`groundbreak evaluate`: a review file against the truth, or against the analyst's verdicts."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from pipeline.cli.console import as_text, narrow_table, out, print_note, write_json
from pipeline.evaluation.measures import MISSED, Measures, TrueChange, reliability_bins, wilson_interval
from pipeline.evaluation.measures import evaluate_review as measure
from pipeline.evaluation.reviewed import Scope, read_review, read_scope, read_truth
from pipeline.evaluation.verdicts import EDGES, precision_of_verdicts
from pipeline.model.errors import Exit, UsageError
from pipeline.review.folder import begins_with, refuse_foreign, replace_file


def evaluate(
    review: Path = typer.Argument(..., metavar="REVIEW.gpkg", help="review file: out/<site>/review.gpkg"),
    truth: Path = typer.Argument(None, metavar="TRUTH.geojson", help="true changes; simulate writes such a file"),
    verdicts: bool = typer.Option(False, "--verdicts", help="compare with the verdicts in the review file"),
    as_json: bool = typer.Option(False, "--json", help="print every figure as JSON instead of tables"),
    file: Path = typer.Argument(None, metavar="FIGURES.json", help="with --json: write it here and print the tables"),
) -> int:
    r"""Score alerts: recall, delays, outlines, misses and false alerts.

    \b
    groundbreak evaluate out/simulated/review.gpkg sim/truth.geojson
    groundbreak evaluate --verdicts out/february-11-plant/review.gpkg
    """
    if verdicts == (truth is not None):
        raise UsageError("one of TRUTH.geojson and --verdicts is needed", "evaluate", "give either, not both")
    if file is not None and not as_json:
        raise UsageError("FIGURES.json goes with --json", str(file), "add --json, or leave the file out")
    if verdicts and file is not None:
        raise UsageError("FIGURES.json goes with TRUTH.geojson", "evaluate", "leave it out with --verdicts")
    if file is not None:
        refuse_foreign(file, _IS_OURS)
    reviewed = read_review(review)
    if verdicts:
        return _print_precision(review, (*reviewed.claims, *reviewed.withdrawn), as_json)
    truths, scope = read_truth(truth, reviewed.crs), read_scope(truth, reviewed.crs)
    measures = measure(reviewed, truths, scope)
    if as_json and file is None:
        write_json(_measures_document(measures))
        return Exit.DONE
    _print_changes(measures.sought)
    _by_size(measures.sought)
    _by_kind(measures)
    _print_measures(measures, scope)
    if file is not None:
        _write_measures(file, measures)
    return Exit.DONE


def _print_changes(sought: Sequence[TrueChange]) -> None:
    table = narrow_table("What happened", "change", "found as", "IoU", "area m2", "first seen", "late by")
    for each in sought:
        said = ("MISSED", "-", "-", "-", "-")
        if each.found:
            area = f"{each.claimed_m2:,.0f}\nof {each.area_m2:,.0f}"
            late = "-" if each.delay_days is None else f"{each.delay_days} days,\n{each.delay_looks} looks"
            said = (f"{each.called}\n{each.status}", f"{each.iou:.2f}", area, str(each.first_seen), late)
        table.add_row(f"{each.id}\n{each.size}", *said)
    out.print(table)


def _by_size(sought: Sequence[TrueChange]) -> None:
    table = narrow_table("Recall by kind and size", "kind", "size", "confirmed", "share", "95 %", "provisional")
    area = {(each.kind, each.size): each.area_m2 for each in sought}
    for kind, size in sorted(area, key=lambda group: (group[0], area[group])):
        group = [each for each in sought if (each.kind, each.size) == (kind, size)]
        hits = sum(each.confirmed for each in group)
        low, high = wilson_interval(hits, len(group))
        waiting = sum(each.found and not each.confirmed for each in group)
        table.add_row(
            kind, size, f"{hits} of {len(group)}", f"{hits / len(group):.2f}", f"{low:.2f}-{high:.2f}", str(waiting)
        )
    out.print(table)


def _by_kind(measures: Measures) -> None:
    called = sorted({name for row in measures.kinds.values() for name in row} - {MISSED})
    table = narrow_table("What it was called", "what happened", *called, MISSED)
    for kind, row in sorted(measures.kinds.items()):
        table.add_row(kind, *(str(row.get(name, 0)) for name in (*called, MISSED)))
    out.print(table)


def _print_measures(measures: Measures, scope: Scope) -> None:
    hits = [each for each in measures.sought if each.confirmed]
    split = ", ".join(
        f"{count} on {what}" for what, count in Counter(each.hits for each in measures.wrong).most_common()
    )
    out.print(
        f"False confirmed polygons: {len(measures.wrong)} in {measures.km2_years:.1f} km2 years,"
        f" {measures.false_rate:.1f} per 100 km2 and year" + (f": {split}" if split else ""), markup=False,
    )  # fmt: skip
    if measures.outside:
        limits = (", ".join(scope.kinds), "its area" if scope.area is not None else "",
                  f"{scope.start or ''} to {scope.end or ''}" if scope.start or scope.end else "")  # fmt: skip
        out.print(
            f"Not counted: {measures.outside} alerts of which the truth has no record (it covers"
            f" {'; '.join(filter(None, limits))})", markup=False,
        )  # fmt: skip
    if hits:
        error = float(np.median([abs(each.claimed_m2 - each.area_m2) / each.area_m2 for each in hits]))
        out.print(
            f"Of what was confirmed, medians: IoU {np.median([each.iou for each in hits]):.2f}, area error {error:.0%},"
            f" first seen after {np.median([each.seen_days or 0 for each in hits]):.0f} days,"
            f" confirmed after {np.median([each.delay_days or 0 for each in hits]):.0f} days and"
            f" {np.median([each.delay_looks or 0 for each in hits]):.0f} clear looks;"
            f" {np.mean([each.claims for each in hits]):.2f} alerts a change", markup=False,
        )  # fmt: skip
    found, wrong, missed = measures.smart
    if found + missed:
        out.print(
            f"By the SMART rule (IoU 0.2, sites of 9,000 m2 and more): {found} found, {wrong} wrong, {missed} missed,"
            f" F1 {measures.smart_f1:.2f}",
            markup=False,
        )
    _print_reliability(reliability_bins(measures.judged, EDGES))


def _print_reliability(rows: Sequence[tuple[float, float, int, int]]) -> None:
    table = narrow_table("Reliability", "confidence given", "right", "share", "95 %")
    for mean, share, hits, total in rows:
        low, high = wilson_interval(hits, total)
        table.add_row(f"{mean:.2f}", f"{hits} of {total}", f"{share:.2f}", f"{low:.2f}-{high:.2f}")
    out.print(table)


def _print_precision(review: Path, claims: Any, as_json: bool) -> int:
    found = precision_of_verdicts(claims)
    if not found.verdicts:
        raise UsageError("no verdict in it yet", str(review), "open review.qgz in QGIS and give some")
    if as_json:
        rows = [dict(zip(("confidence", "share", "right", "verdicts"), row, strict=True)) for row in found.rows]
        write_json({**dataclasses.asdict(found), "rows": rows, "drift": found.drift, "drifts": found.drifts})
        return Exit.DONE
    _print_reliability(found.rows)
    out.print(
        f"{found.verdicts} verdicts ({found.uncertain} uncertain left out): {found.given} right,"
        f" {found.expected:.1f} expected by confidence", markup=False,
    )  # fmt: skip
    if found.drifts:
        print_note(
            f"verdicts and confidence differ by {found.drift:+.1f} sigmas: confidence is too"
            f" {'low' if found.drift > 0 else 'high'} at this site"
        )
    return Exit.DONE


def _measures_document(measures: Measures) -> dict[str, Any]:
    rates = {"false_rate": measures.false_rate, "smart_f1": measures.smart_f1}
    return {"generator": _GENERATOR} | dataclasses.asdict(measures) | {"kinds": measures.kinds} | rates


_GENERATOR = "groundbreak evaluate"
_IS_OURS = begins_with(f'"generator": "{_GENERATOR}"'.encode())


def _write_measures(path: Path, measures: Measures) -> None:
    with replace_file(path, _IS_OURS) as beside:
        beside.write_text(as_text(_measures_document(measures)) + "\n", encoding="utf-8")
