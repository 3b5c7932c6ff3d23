"""The nightly job: sites with new scenes since the last night.

A night is compare_scenes(catalogue, ledger) → process sites with differences → publish → record. Each step may
be repeated: the next run completes the work after a crash, and a second run the same night has nothing to do.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.catalogue.scenes import FoundScenes
from pipeline.model.errors import GroundbreakError, UsageError
from pipeline.model.imagery import Rejection, Scene, SceneRecord
from pipeline.model.progress import Progress
from pipeline.model.settings import settings_digest
from pipeline.model.site import Site
from pipeline.review.folder import GPKG, clear_leftovers
from pipeline.review.layout import Results
from pipeline.run.detect import SiteOutcome, as_site_error, process_sites
from pipeline.run.ledger import Ledger, SceneEntry, SiteEntry
from pipeline.run.outputs import discard_outputs, find_differing, measure_outputs
from pipeline.run.process_site import SiteJob, find_scenes
from pipeline.run.resume import notes_of, resume_site
from pipeline.run.searches import Searched, search_sites

REVISIT_DAYS = 5.0
"""Days between passes of two satellites over one relative orbit."""
QUIET_DAYS = 30.0
"""Days without a new scene after which the analyst is warned that the source may be broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneDelta:
    """What a catalogue and the disk have against what the ledger knows of a site: scene ids, and names of outputs that
    are missing or not as they were written.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        """True: nothing to do."""
        return not (self.new or self.changed or self.withdrawn or self.damaged)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NightOutcome:
    """Result of one site in a night; `outcome` is None if there was nothing new.

    notes: what was restored or changed in its results. failures: nights in a row that failed, this one included.
    """

    job: SiteJob
    night: SceneDelta
    outcome: SiteOutcome | None = None
    warning: str = ""
    night_error: GroundbreakError | None = None
    notes: tuple[str, ...] = ()
    failures: int = 0

    @property
    def error(self) -> GroundbreakError | None:
        """Why the site was not processed, published or recorded; None without an error."""
        return self.night_error or (self.outcome.error if self.outcome else None)


def scene_digest(scene: Scene | Rejection) -> str:
    """Digest of the products and files of a scene; signed hrefs are not part of it."""
    if isinstance(scene, Rejection):
        return hashlib.sha256(f"{scene.scene}|{scene.reason}".encode()).hexdigest()[:16]
    facts = [
        [granule.id, granule.baseline, str(granule.generated), sorted(granule.assets.values()), granule.scl]
        for granule in scene.granules
    ]
    return hashlib.sha256(json.dumps([scene.id, facts]).encode()).hexdigest()[:16]


def compare_scenes(found: FoundScenes, known: dict[str, SceneEntry]) -> SceneDelta:
    """New, changed (reprocessed or to be retried) and withdrawn scenes, in any order of the inputs."""
    seen = _scene_digests(found)
    again = {
        scene for scene, entry in known.items() if entry.outcome == "failed" or entry.digest != seen.get(scene)
    } & set(seen)
    return SceneDelta(
        new=tuple(sorted(set(seen) - set(known))),
        changed=tuple(sorted(again)),
        withdrawn=tuple(sorted(set(known) - set(seen))),
    )


def run_night(
    jobs: Sequence[SiteJob], out: Path, workers: int, step: Progress, scheduler: str | None = None,
    now: datetime | None = None,
) -> Iterator[NightOutcome]:  # fmt: skip
    """Process every site once, in the order in which catalogues answer; an error is the outcome of its site.

    Catalogues are searched while sites are judged. out/index.html is left to the caller.
    now: when the night is, by default the end of its period.
    """
    ledger = Ledger(Results(out).ledger)
    clear_leftovers(out)
    try:
        # what the catalogue said is not asked again, and can't have changed in between
        for batch in search_sites(jobs, lambda job: find_scenes(job)):
            ready: dict[str, _Ready] = {}
            done: list[tuple[NightOutcome, FoundScenes | None]] = []
            for each in batch:
                looked = _prepare_site(each, out, ledger)
                if isinstance(looked, _Ready):
                    ready[each.job.site.id] = looked
                else:
                    done.append((looked, each.found))
            yield from _note_failures(done, ledger, now)
            for outcome in process_sites([site.job for site in ready.values()], out, workers, step, scheduler):
                site = ready[outcome.site.id]
                yield from _note_failures([(_record_result(site, outcome, ledger), site.found)], ledger, now)
    finally:
        ledger.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ready:
    """A site that is to be processed."""

    job: SiteJob
    found: FoundScenes
    night: SceneDelta
    notes: tuple[str, ...]


def _prepare_site(each: Searched, out: Path, ledger: Ledger) -> _Ready | NightOutcome:
    """Site to be processed, or its outcome if there is nothing to do."""
    job, notes = each.job, tuple[str, ...]()
    try:
        if each.found is None:
            raise each.error or LookupError(job.source)
        found = each.found
        resumed = resume_site(job, out)
        job, notes = replace(resumed.job, found=found), resumed.notes
        night, more = _find_changes(job, found, ledger, out)
        notes = notes_of(notes, more)
        if resumed.notes:
            night = replace(night, damaged=tuple(sorted({*night.damaged, GPKG})))
        discard_outputs(Results(out).site(job.site.id), night.damaged)
    except Exception as error:  # noqa: BLE001  (the boundary of a site: what breaks it stops no other)
        return NightOutcome(job=job, night=SceneDelta(), night_error=as_site_error(error, job.site.id), notes=notes)
    if night.idle:
        return NightOutcome(job=job, night=night, warning=_silence_warning(job, found), notes=notes)
    return _Ready(job=job, found=found, night=night, notes=notes)


def _record_result(ready: _Ready, outcome: SiteOutcome, ledger: Ledger) -> NightOutcome:
    """Record the result of a site in the ledger."""
    job, unrecorded = ready.job, None
    try:
        _record_scenes(ledger, job, ready.found, outcome)
    except (GroundbreakError, OSError) as error:
        # published and not written down: the next night does it again, and changes nothing
        unrecorded = as_site_error(error, job.site.id)
    notes = notes_of(ready.notes, outcome.published.notes if outcome.published else ())
    return NightOutcome(
        job=job, night=ready.night, outcome=outcome, warning=_silence_warning(job, ready.found),
        night_error=unrecorded, notes=notes,
    )  # fmt: skip


def _note_failures(
    outcomes: Sequence[tuple[NightOutcome, FoundScenes | None]], ledger: Ledger, now: datetime | None
) -> Iterator[NightOutcome]:
    """Outcomes with the number of consecutive failures, recorded in one transaction."""
    entries = [_site_entry(outcome, found, ledger, now) for outcome, found in outcomes]
    unrecorded: GroundbreakError | None = None
    try:
        ledger.note_sites(entries)
    except GroundbreakError as error:
        unrecorded = error
    for (outcome, _), entry in zip(outcomes, entries, strict=True):
        yield replace(outcome, night_error=outcome.night_error or unrecorded, failures=entry.failures)


def _site_entry(outcome: NightOutcome, found: FoundScenes | None, ledger: Ledger, now: datetime | None) -> SiteEntry:
    """State of a site after the night."""
    job, error = outcome.job, outcome.error
    moment = (now or job.until).astimezone(UTC).isoformat(timespec="seconds")
    known = ledger.site(job.site.id)
    times = _scene_times(found) if found else []
    latest = max((each.astimezone(UTC).isoformat(timespec="seconds") for each in times), default=known.last_scene)
    if error is None:
        done = outcome.outcome is not None
        place = place_digest(job.site) if done else known.place
        return SiteEntry(site=known.site, place=place, success=moment, last_scene=latest)
    return replace(known, last_scene=latest, failures=known.failures + 1, failed=moment, error=str(error))


def _find_changes(job: SiteJob, found: FoundScenes, ledger: Ledger, out: Path) -> tuple[SceneDelta, tuple[str, ...]]:
    """Differences of the scenes, and notes on other changes."""
    site, folder = job.site, Results(out).site(job.site.id)
    last = ledger.until(site.id)
    if last is not None and job.until.isoformat() < last and _has_newer_scenes(ledger, site.id, job.until):
        what = f"already judged until {last[:10]}, later than {job.until:%Y-%m-%d}"
        raise UsageError(what, site.id, "replay a past night into a folder of its own with --out")
    night, notes = compare_scenes(found, ledger.scenes(site.id)), list[str]()
    place = ledger.place(site.id)
    moved = bool(place) and place != place_digest(site)
    if moved:
        notes.append(f"{site.id}: its AOI or its entry in the AOI file has changed; judged again on the same grid")
    known = ledger.outputs(site.id)
    damaged = find_differing(folder, known) if last is not None else ()
    if known and damaged:
        notes.append(f"{site.id}: missing or not as written, made again: {_list_names(damaged)}")
    if night.idle and (moved or ledger.decided(site.id) != settings_digest(job.settings)):
        night = replace(night, changed=tuple(sorted(_scene_digests(found))))
    return replace(night, damaged=damaged), tuple(notes)


def _list_names(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest


def place_digest(site: Site) -> str:
    """Digest of the AOI of a site and of its entry in the AOI file."""
    facts = [site.name, site.aoi.wkb_hex, str(site.start), str(site.end), site.collection]
    return hashlib.sha256(json.dumps([*facts, sorted(map(str, site.properties.items()))]).encode()).hexdigest()[:16]


def _has_newer_scenes(ledger: Ledger, site: str, until: datetime) -> bool:
    return any(entry.acquired > until.isoformat() for entry in ledger.scenes(site).values())


def _scene_digests(found: FoundScenes) -> dict[str, str]:
    refused = {item.scene: scene_digest(item) for item in found.rejections}
    return refused | {scene.id: scene_digest(scene) for scene in found.scenes}


def _record_scenes(ledger: Ledger, job: SiteJob, found: FoundScenes, outcome: SiteOutcome) -> None:
    """Record the scenes; a site that failed as a whole is processed in full the next night."""
    if outcome.published is None:
        return
    digests = _scene_digests(found)
    records = {record.scene: record for record in outcome.records}
    known = ledger.scenes(job.site.id)
    entries = []
    for scene, mark in sorted(digests.items()):
        record = records.get(scene)
        old = known.get(scene)
        tried = old.attempts + 1 if old is not None and old.outcome == "failed" else 1
        entries.append(
            SceneEntry(
                site=job.site.id,
                scene=scene,
                digest=mark,
                acquired=record.time.astimezone(UTC).isoformat() if record else "",
                attempts=tried,
                outcome=_scene_outcome(record),
                reason=record.reason if record else "",
            )
        )
    alerts = len(outcome.decision.alerts) if outcome.decision else 0
    written = measure_outputs(outcome.published.folder)
    ledger.record(job.site.id, entries, settings_digest(job.settings), job.until.isoformat(), alerts, written)


def _scene_outcome(record: SceneRecord | None) -> str:
    if record is None or record.reason == "unreadable":
        return "failed"
    return "used" if record.used else "rejected"


def _silence_warning(job: SiteJob, found: FoundScenes) -> str:
    """Warning if the catalogue has no recent scene: an empty archive must not look like an unchanged site."""
    times = _scene_times(found)
    if not times or job.until - max(times) <= timedelta(days=QUIET_DAYS):
        return ""
    days = (job.until - max(times)).days
    return f"no new scene for {days} days, where about {days / REVISIT_DAYS:.0f} were expected"


def _scene_times(found: FoundScenes) -> list[datetime]:
    return [scene.time for scene in found.scenes] + [item.time for item in found.rejections]
