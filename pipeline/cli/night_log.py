"""What a night says: one JSON line a site for a journal, and each error once with the sites that have it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex

from pipeline.cli.console import is_terminal, print_error, print_line, print_note
from pipeline.model.alert import Status
from pipeline.model.errors import GroundbreakError
from pipeline.run.nightly import NightOutcome
from pipeline.run.searches import PostponedError

NAMED = 5
"""Sites named in a line that stands for many."""


class NightLog:
    """The lines of one run, which all have its id."""

    def __init__(self) -> None:
        self.run = token_hex(4)
        self._same: dict[tuple[str, str, str], list[str]] = {}
        self._put_off: dict[str, list[str]] = {}

    def site(self, night: NightOutcome) -> None:
        """What became of a site."""
        site = night.job.site.id
        lost = night.outcome.errors if night.outcome else ()
        for error in (*lost, *((night.error,) if night.error else ())):
            self._print_site_error(site, error)
        for remark in night.notes:
            print_note(remark)
        if night.warning:
            print_note(f"{site}: {night.warning}")
        if not is_terminal():
            self._print_json_line(_log_level(night), _log_fields(night))
        elif night.outcome is not None and night.outcome.published is not None:
            print_line(f"{site}: {len(night.night.new)} new scenes, {night.outcome.published.changed} alerts changed")

    def end(self, nights: Sequence[NightOutcome], seconds: float) -> None:
        """The errors that several sites have, and a last line with the sums."""
        for host, sites in self._put_off.items():
            where = f"{len(sites)} site{'s' * (len(sites) != 1)}: {_list_sites(sites)}"
            print_error(GroundbreakError(f"{host} does not answer", where, "put off; the next night searches them"))
        for (what, where, fix), sites in self._same.items():
            if len(sites) > 1:
                more = f"{where}; {len(sites) - 1} more sites: {_list_sites(sites[1:])}"
                print_error(GroundbreakError(what, more, fix))
        if not is_terminal():
            sums = {
                "new": sum(len(night.night.new) for night in nights),
                "changed": sum(len(night.night.changed) for night in nights),
                "withdrawn": sum(len(night.night.withdrawn) for night in nights),
                "alerts_changed": sum(_alerts_changed(night) for night in nights),
            }
            failed = sum(night.error is not None for night in nights)
            judged = sum(night.outcome is not None and night.error is None for night in nights)
            counts = {"sites": len(nights), "judged": judged, "failed": failed}
            level = "error" if failed else "info"
            self._print_json_line(level, {"event": "night ended", **counts, **sums, "seconds": round(seconds, 1)})

    def _print_site_error(self, site: str, error: GroundbreakError) -> None:
        if isinstance(error, PostponedError):
            self._put_off.setdefault(error.host, []).append(site)
            return
        sites = self._same.setdefault((error.what, error.where, error.fix), [])
        sites.append(site)
        if len(sites) == 1:
            print_error(_with_site(site, error))

    def _print_json_line(self, level: str, facts: dict[str, object]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        print_line(json.dumps({"time": time, "level": level, "run": self.run, **facts}))


def failure_line(night: NightOutcome) -> str:
    """A site that failed, in one line for a message."""
    nights = f"{night.failures} nights in a row" if night.failures > 1 else "tonight"
    return f"{night.job.site.id}: {night.error}; failed {nights}"


def _with_site(site: str, error: GroundbreakError) -> GroundbreakError:
    """The error with its site."""
    if site in error.what or site in error.where:
        return error
    named = GroundbreakError(error.what, f"{site}, {error.where}", error.fix)
    named.__cause__ = error
    return named


def _list_sites(sites: Sequence[str]) -> str:
    return ", ".join(sites[:NAMED]) + (", …" if len(sites) > NAMED else "")


def _log_level(night: NightOutcome) -> str:
    if night.error:
        return "error"
    return "warning" if night.warning or night.notes else "info"


def _alerts_changed(night: NightOutcome) -> int:
    return night.outcome.published.changed if night.outcome and night.outcome.published else 0


def _log_fields(night: NightOutcome) -> dict[str, object]:
    outcome = night.outcome
    records = outcome.records if outcome else ()
    alerts = outcome.decision.alerts if outcome and outcome.decision else ()
    return {
        "site": night.job.site.id,
        "new": len(night.night.new),
        "changed": len(night.night.changed),
        "withdrawn": len(night.night.withdrawn),
        "damaged": len(night.night.damaged),
        "alerts_changed": _alerts_changed(night),
        "alerts_open": sum(alert.status is not Status.WITHDRAWN for alert in alerts) if outcome else None,
        "scenes_used": sum(record.used for record in records),
        "scenes_refused": sum(not record.used for record in records),
        "seconds": round(outcome.seconds, 1) if outcome else 0.0,
        "failures": night.failures,
        "fault": str(night.error) if night.error else None,
        "warning": night.warning or None,
        "notes": list(night.notes),
    }
