"""What each idea of the decision is worth: the same simulated years, judged with one idea switched off at a time.

python -m benchmarks.ablation      needs the recorded city pairs beside the checkout

An idea is switched off by replacing a function or a constant from here. Two grounds, one seed, each once with nothing
happening and once with construction and distractors.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from benchmarks.series import CITIES
from pipeline.catalogue.sites import read_sites
from pipeline.correct import masks
from pipeline.correct.normalise import Radiometry
from pipeline.correct.reference import UnregisteredImage
from pipeline.decide import alerts
from pipeline.evaluation.measures import Measures, evaluate_review, pool_measures
from pipeline.evaluation.reviewed import CLEAR_SHARE, Claim, Reviewed, Truth, read_truth
from pipeline.model.alert import Decision, Status
from pipeline.model.errors import DecisionError
from pipeline.model.imagery import Alignment, Look, Why
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.process_site import SiteJob, process_site
from pipeline.study.ground import moved_to, read_ground
from pipeline.study.scenarios import ScenarioOptions, build_scenario
from pipeline.study.simulate import simulate_catalogue

GROUNDS, SEED = ("aguasclaras", "cupertino"), 101
LOOKS, DAYS, SIDE_PX = 32, 18.0, 200
"""Passes and pixels; fewer than in benchmarks/series.py over the same time, for every row judges them anew."""
LARGE_M2 = 800.0
HEAD = ("switched off", "changes confirmed", "buildings from 20x40 m", "false, quiet", "false, all", "IoU", "looks")
Patches = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """What is switched off. patches: dotted name -> what stands in its place. corrects: the looks are made anew."""

    name: str
    patches: Patches
    corrects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Period:
    """One simulated period: its folder, its looks as shipped code corrects them, and its truth."""

    site: Site
    catalogue: str
    looks: tuple[Look, ...]
    truths: tuple[Truth, ...]
    quiet: bool


def main() -> str:
    """A markdown section."""
    if not CITIES.is_dir():
        raise FileNotFoundError("the city pairs are not beside this checkout")
    with tempfile.TemporaryDirectory() as scratch:
        periods = [
            _period(ground, nothing, Path(scratch) / f"{ground}-{nothing}")
            for ground in GROUNDS
            for nothing in (True, False)
        ]
        rows = [
            _row(idea, [(period.quiet, measured(idea, period)) for period in periods])
            for idea in (Idea(name="as shipped", patches={}), *IDEAS)
        ]
    return "\n".join(_section(rows))


def measured(idea: Idea, period: Period) -> Measures:
    """How a period is told with an idea switched off."""
    with ExitStack() as stack:
        for name, other in idea.patches.items():
            stack.enter_context(patch(name, other))
        looks = _corrected(period.site, period.catalogue)[1] if idea.corrects else period.looks
        try:
            decision = alerts.decide_site(period.site, looks, Settings())
        except DecisionError:
            # too few looks are left without the idea: nothing is told, and all is missed
            decision = None
    return evaluate_review(_reviewed(period.site, decision, looks), period.truths)


def _period(ground: str, nothing: bool, folder: Path) -> Period:
    options = ScenarioOptions(seed=SEED, start=None, passes=LOOKS, days=DAYS, undisturbed=nothing, distractors=True)
    whole = read_ground(CITIES / ground / "before")
    part = moved_to(whole, GeoBox((SIDE_PX, SIDE_PX), whole.grid.affine, whole.grid.crs))
    laid, plan = build_scenario(part, None, options)
    folder.mkdir()
    site = read_sites((simulate_catalogue(laid, plan, folder, lambda *_: None),)).sites[0]
    catalogue = str(folder / "catalog.json")
    truths = () if nothing else read_truth(folder / "truth.geojson", str(site.grid.crs))
    site, looks = _corrected(site, catalogue)
    return Period(site=site, catalogue=catalogue, looks=looks, truths=truths, quiet=nothing)


def _corrected(site: Site, catalogue: str) -> tuple[Site, tuple[Look, ...]]:
    """The site with the grid of its looks, and the looks of a catalogue, without a decision."""
    asked = SiteJob(
        site=site, source=catalogue, collection=None, start=None, until=datetime(2030, 1, 1, tzinfo=UTC),
        settings=Settings(),
    )  # fmt: skip
    with patch("pipeline.run.process_site.decide_onwards", lambda *_: None):
        judged = process_site(asked, no_progress)
    return judged.site, judged.looks


def _reviewed(site: Site, decision: Decision | None, looks: Sequence[Look]) -> Reviewed:
    clear: dict[str, list[Any]] = {}
    for seen in decision.observations if decision else ():
        if seen.clear_share >= CLEAR_SHARE:
            clear.setdefault(seen.change_id, []).append(seen.time.date())
    claims = tuple(
        Claim(
            id=alert.id, outline=alert.outline, status=alert.status.value, kind=alert.kind.value,
            confidence=alert.confidence, area_m2=alert.area_m2, first_seen=alert.first_seen,
            confirmed_at=alert.confirmed_at, verdict=None, clear=tuple(sorted(clear.get(alert.id, ()))),
        )
        for alert in (decision.alerts if decision else ())
        if alert.status is not Status.WITHDRAWN
    )  # fmt: skip
    crs = str(site.grid.crs)
    days = tuple(sorted({look.time.date() for look in looks}))
    return Reviewed(
        name=site.id, crs=crs, claims=claims, aoi=Geometry(site.aoi, "EPSG:4326").to_crs(crs).geom, days=days
    )


def _row(idea: Idea, found: Sequence[tuple[bool, Measures]]) -> tuple[str, ...]:
    still, busy = (pool_measures([each for nothing, each in found if nothing is which]) for which in (True, False))
    hits = [each for each in busy.sought if each.confirmed]
    large = [each for each in busy.sought if each.area_m2 >= LARGE_M2 and each.kind == "new structure"]
    iou, delay = ("-", "-") if not hits else (
        f"{np.median([each.iou for each in hits]):.2f}",
        f"{np.median([each.delay_looks for each in hits]):.0f}",
    )  # fmt: skip
    return (
        idea.name, f"{len(hits)} of {len(busy.sought)}", f"{sum(each.confirmed for each in large)} of {len(large)}",
        f"{still.false_rate:.0f} ({len(still.wrong)})", f"{busy.false_rate:.0f} ({len(busy.wrong)})", iou, delay,
    )  # fmt: skip


def _section(rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "## What each idea is worth",
        "",
        f"`benchmarks/ablation.py`: {' and '.join(GROUNDS)}, seed {SEED}, {LOOKS} passes {DAYS:.0f} days apart, one",
        "idea switched off a row. False: confirmed polygons per 100 km2 and year (count), nothing happening, and with",
        "construction and distractors. IoU of footprints and looks to confirmation are medians of what was confirmed.",
        "",
        *(f"| {' | '.join(each)} |" for each in (HEAD, ["---"] * len(HEAD), *rows)),
    ]


def _as_the_baseline(reference: Any, _measured: Any, _usable: Any) -> Any:
    """Every look is predicted to be the baseline image."""
    return np.asarray(reference, np.float32)


def _no_episodes(_sums: Any, _steps: Any, _times: Any, quiet: Any) -> list[Any]:
    """No episode in any duration class."""
    return [np.zeros((quiet.shape[-1], 0)) for _ in quiet]


def _no_axis(baseline: Any, _bands: Any) -> Any:
    """No direction from leaf to soil."""
    return np.zeros(len(baseline.mean))


def _no_past(values: Any) -> Any:
    """The past showed nothing of the step."""
    return np.zeros(values.shape[1])


def _unmoved(
    _reference: Any, _draft: UnregisteredImage, _settings: Settings, _prior_px: float | None = None
) -> Alignment:
    return Alignment(shift=(0.0, 0.0), accepted=True, reliability=1.0)


def _as_measured(reflectance: Any, expected: Any, usable: Any, _seasonal: Any) -> Radiometry:
    bands = len(reflectance)
    scatter = tuple(float(1.48 * np.nanmedian(np.abs((reflectance - expected)[band][usable]))) for band in range(bands))
    return Radiometry(gain=(1.0,) * bands, offset=(0.0,) * bands, scatter=scatter, field=np.zeros((bands, 5)))


def _by_class(
    reflectance: Any, _bands: Any, scl: Any, _expected: Any = None, _sun: Any = None, _pixel_m: float = 10.0
) -> Any:
    """Scene classification alone."""
    why = np.zeros(reflectance.shape[1:], np.uint8)
    for flag, classes in (
        (Why.CLOUD, masks.SCL_CLOUD), (Why.SHADOW, (masks.SCL_SHADOW,)), (Why.SNOW, (masks.SCL_SNOW,)),
        (Why.WATER, (masks.SCL_WATER,)),
    ):  # fmt: skip
        why[np.isin(scl, classes)] = np.uint8(flag)
    why[~np.isfinite(reflectance).all(axis=0)] = np.uint8(Why.NODATA)
    return why


IDEAS = (
    Idea(name="seasonal prediction", patches={"pipeline.decide.residuals.predict_season": _as_the_baseline}),
    Idea(name="natural steps of episodes", patches={"pipeline.decide.screening._find_episodes": _no_episodes}),
    Idea(name="axis from leaf to soil", patches={"pipeline.decide.alerts.leaf_to_soil": _no_axis}),
    Idea(name="objects against their own past", patches={"pipeline.decide.object_series._upper_quantile": _no_past}),
    Idea(
        name="spikes removed",
        patches={"pipeline.decide.object_series._without_spikes": lambda values, _clear: values},
    ),
    Idea(name="structures before a change", patches={"pipeline.decide.detections._structure_before": lambda *_: None}),
    Idea(name="dates by phases", patches={"pipeline.decide.detections._since_built": lambda *_: None}),
    Idea(name="renewals", patches={"pipeline.decide.detections._find_renewal": lambda *_: None}),
    Idea(
        name="registration",
        patches={f"pipeline.correct.{room}.align": _unmoved for room in ("look", "reference")},
        corrects=True,
    ),
    Idea(name="normalisation", patches={"pipeline.correct.normalise.fit_radiometry": _as_measured}, corrects=True),
    Idea(name="masks beyond SCL", patches={"pipeline.correct.masks.classify_pixels": _by_class}, corrects=True),
)  # fmt: skip


if __name__ == "__main__":
    print(main())
