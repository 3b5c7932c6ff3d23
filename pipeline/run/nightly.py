"""The nightly job: what is new since the last night, site by site, and nothing else.

A night is reconcile(catalogue, ledger) → judge the sites that something new touches → publish → record. Each step may
be repeated: a crash anywhere is healed by the next run, and a second run the same night has nothing to do.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.catalogue.scenes import Found
from pipeline.model.errors import GroundbreakError, UsageError
from pipeline.model.imagery import Rejection, Scene, SceneRecord
from pipeline.model.settings import digest
from pipeline.run.correcting import Progress
from pipeline.run.detect import SiteOutcome, detect, told
from pipeline.run.judge import Question, scenes_of
from pipeline.run.ledger import Ledger, SceneEntry

REVISIT_DAYS = 5.0
"""Two satellites over one relative orbit."""
QUIET_DAYS = 30.0
"""Without a new scene for so long, something upstream is broken and the analyst has to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What a catalogue has against what the ledger knows of a site, as scene ids."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    withdrawn: tuple[str, ...]

    @property
    def idle(self) -> bool:
        """True: nothing to do."""
        return not (self.new or self.changed or self.withdrawn)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NightOutcome:
    """One site's night: what was new, and what became of it; `outcome` is None where nothing was."""

    question: Question
    night: Night
    outcome: SiteOutcome | None
    warning: str = ""
    fault: GroundbreakError | None = None


def scene_digest(scene: Scene | Rejection) -> str:
    """Changes whenever a scene would be read from other products or files; signed hrefs never get here."""
    if isinstance(scene, Rejection):
        return hashlib.sha256(f"{scene.scene}|{scene.reason}".encode()).hexdigest()[:16]
    facts = [
        [granule.id, granule.baseline, str(granule.generated), sorted(granule.assets.values()), granule.scl]
        for granule in scene.granules
    ]
    return hashlib.sha256(json.dumps([scene.id, facts]).encode()).hexdigest()[:16]


def reconcile(found: Found, known: dict[str, SceneEntry]) -> Night:
    """New, changed (reprocessed or to be tried again) and withdrawn scenes. Pure; the order of nothing matters."""
    seen = _digests(found)
    again = {
        scene for scene, entry in known.items() if entry.outcome == "failed" or entry.digest != seen.get(scene)
    } & set(seen)
    return Night(
        new=tuple(sorted(set(seen) - set(known))),
        changed=tuple(sorted(again)),
        withdrawn=tuple(sorted(set(known) - set(seen))),
    )


def nightly(
    questions: Sequence[Question], out: Path, workers: int, step: Progress, scheduler: str | None = None
) -> Iterator[NightOutcome]:
    """Every site, in the order given; what fails at one site is that site's outcome."""
    ledger = Ledger(out / ".groundbreak" / "ledger.sqlite")
    try:
        nights: dict[str, tuple[Question, Found, Night]] = {}
        for question in questions:
            try:
                found = scenes_of(question)
                night = _checked(question, found, ledger)
            except Exception as fault:  # noqa: BLE001  (the boundary of a site: what breaks it stops no other)
                nothing = Night(new=(), changed=(), withdrawn=())
                yield NightOutcome(question=question, night=nothing, outcome=None, fault=told(fault, question.site))
                continue
            if night.idle:
                warning = _silence(question, found)
                yield NightOutcome(question=question, night=night, outcome=None, warning=warning)
            else:
                nights[question.site.id] = (question, found, night)
        # what the catalogue said is not asked again, and can't have changed in between
        touched = [replace(question, found=found) for question, found, _ in nights.values()]
        for outcome in detect(touched, out, workers, step, scheduler):
            question, found, night = nights[outcome.site.id]
            try:
                _record(ledger, question, found, outcome)
            except GroundbreakError as fault:
                # published and not written down: the next night does it again, and changes nothing
                yield NightOutcome(question=question, night=night, outcome=outcome, fault=fault)
                continue
            warning = _silence(question, found)
            yield NightOutcome(question=question, night=night, outcome=outcome, warning=warning)
    finally:
        ledger.close()


def _checked(question: Question, found: Found, ledger: Ledger) -> Night:
    site = question.site.id
    last = ledger.until(site)
    if last is not None and question.until.isoformat() < last and _newer(ledger, site, question.until):
        what = f"already judged until {last[:10]}, later than {question.until:%Y-%m-%d}"
        raise UsageError(what, site, "replay a past night into a folder of its own with --out")
    night = reconcile(found, ledger.scenes(site))
    if night.idle and ledger.decided(site) != digest(question.settings):
        return replace(night, changed=tuple(sorted(_digests(found))))
    return night


def _newer(ledger: Ledger, site: str, until: datetime) -> bool:
    return any(entry.acquired > until.isoformat() for entry in ledger.scenes(site).values())


def _digests(found: Found) -> dict[str, str]:
    refused = {item.scene: scene_digest(item) for item in found.rejections}
    return refused | {scene.id: scene_digest(scene) for scene in found.scenes}


def _record(ledger: Ledger, question: Question, found: Found, outcome: SiteOutcome) -> None:
    """What the night learnt; a site that failed as a whole is asked again in full."""
    if outcome.published is None:
        return
    digests = _digests(found)
    records = {record.scene: record for record in outcome.records}
    known = ledger.scenes(question.site.id)
    entries = []
    for scene, mark in sorted(digests.items()):
        record = records.get(scene)
        old = known.get(scene)
        tried = old.attempts + 1 if old is not None and old.outcome == "failed" else 1
        entries.append(
            SceneEntry(
                site=question.site.id,
                scene=scene,
                digest=mark,
                acquired=record.time.astimezone(UTC).isoformat() if record else "",
                attempts=tried,
                outcome=_outcome(record),
                reason=record.reason if record else "",
            )
        )
    alerts = len(outcome.decision.alerts) if outcome.decision else 0
    ledger.record(question.site.id, entries, digest(question.settings), question.until.isoformat(), alerts)


def _outcome(record: SceneRecord | None) -> str:
    if record is None or record.reason == "unreadable":
        return "failed"
    return "used" if record.used else "rejected"


def _silence(question: Question, found: Found) -> str:
    """A sentence where the catalogue has gone quiet: no tool may take an empty archive for an empty place."""
    times = [scene.time for scene in found.scenes] + [item.time for item in found.rejections]
    if not times or question.until - max(times) <= timedelta(days=QUIET_DAYS):
        return ""
    days = (question.until - max(times)).days
    return f"no new scene for {days} days, where about {days / REVISIT_DAYS:.0f} were expected"
