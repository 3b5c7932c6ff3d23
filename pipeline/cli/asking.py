"""From arguments to questions: which sites, which catalogue, which days, which settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from pipeline.catalogue.environment import check_certificates, check_proj
from pipeline.catalogue.hrefs import local_or_remote
from pipeline.catalogue.sites import check_reach, moment, read_sites
from pipeline.cli.console import error, note
from pipeline.model.errors import SettingsError, SiteError, UsageError
from pipeline.model.settings import Settings, override, parse
from pipeline.model.site import Site
from pipeline.run.cells import is_wide
from pipeline.run.judge import Question
from pipeline.run.keep import CHIPS, MEMORY

SETTINGS_FILE = Path("groundbreak.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The sites to work on and what was wrong with the AOI files they came from."""

    sites: tuple[Site, ...]
    settings: Settings
    faults: tuple[SiteError, ...]


def default_sites() -> Path:
    """`aois/` of the working directory, else the one of the checkout this package runs from."""
    here = Path("aois")
    return here if here.is_dir() else Path(__file__).resolve().parents[2] / "aois"


def ask(ids: Sequence[str], files: Sequence[Path]) -> Asked:
    """Sites by id out of the AOI files, all of them if no id is given; faults of other features are kept.

    Raises UsageError for an id that no file holds, SiteError where nothing is left to work on.
    """
    check_proj()
    check_certificates()
    settings = read_settings()
    read = read_sites(tuple(files) or (default_sites(),), settings)
    for remark in read.notes:
        note(remark)
    known = {site.id: site for site in read.sites}
    unknown = [wanted for wanted in ids if wanted not in known]
    if unknown:
        if read.faults:
            error(read.faults[0])
        near = get_close_matches(unknown[0], known, n=1, cutoff=0.4)
        mend = f"did you mean {near[0]}?" if near else "`groundbreak sites list` shows them all"
        raise UsageError(f"no site {unknown[0]!r}", ", ".join(map(str, files)) or str(default_sites()), mend)
    sites = tuple(known[wanted] for wanted in dict.fromkeys(ids)) if ids else read.sites
    if not sites and read.faults:
        for fault in read.faults[:-1]:
            error(fault)
        raise read.faults[-1]
    return Asked(sites=sites, settings=settings, faults=() if ids else read.faults)


def held_whole(site: Site) -> None:
    """Raise UsageError where a site is so wide that its looks are never held together, and the command needs them."""
    if is_wide(site):
        rows, cols = site.grid.shape
        what = f"{rows * cols / 1e4:,.0f} km2 are judged in cells, and this command needs the looks as a whole"
        raise UsageError(what, site.id, "give it a part of the site as an AOI of its own, of up to 40 km2")


def read_settings() -> Settings:
    """groundbreak.toml of the working directory, or the defaults where there is none."""
    if not SETTINGS_FILE.exists():
        return Settings()
    try:
        text = SETTINGS_FILE.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise SettingsError(f"cannot be read: {fault}", str(SETTINGS_FILE), "make it a UTF-8 text file") from fault
    return parse(text, str(SETTINGS_FILE))


def question(
    site: Site,
    settings: Settings,
    *,
    catalog: str | None,
    start: str | None,
    end: str | None,
    scenes: Sequence[str] = (),
    out: Path | None = None,
) -> Question:
    """What is asked about one site. Flags win over the site's own wishes, those over groundbreak.toml."""
    own = override(settings, site.settings, site.id)
    begin = day(start, "--start") or site.start
    # the only place where the clock is read for a decision: a run without --end judges what there is now
    until = day(end, "--end", last=True) or site.end or datetime.now(UTC)
    if begin is not None and begin >= until:
        raise UsageError(
            f"the period ends ({until:%Y-%m-%d}) before it begins ({begin:%Y-%m-%d})", site.id, "swap --start and --end"
        )
    source = local_or_remote(catalog or site.catalog or own.search.catalog)
    if source == site.catalog:
        check_reach(site, settings)
    if "://" not in source:
        _check_there(source)
    return Question(
        site=site, source=source, collection=site.collection, start=begin, until=until, settings=own,
        extra_scenes=tuple(scenes), chips=None if out is None else out / CHIPS,
        memory=None if out is None else out / MEMORY / site.id,
    )  # fmt: skip


def _check_there(source: str) -> None:
    mend = "give a STAC file or folder, an API root, or a folder of .SAFE"
    try:
        if not Path(source).exists():
            raise UsageError("no such catalogue", source, mend)
    except OSError as fault:
        raise UsageError(f"no such catalogue: {fault.strerror}", source, mend) from fault


def day(text: str | None, flag: str, *, last: bool = False) -> datetime | None:
    """A day or a time as UTC; a plain day given as the end is meant to its last second. Raises UsageError."""
    if text is None:
        return None
    try:
        return moment(text, last=last)
    except ValueError as fault:
        raise UsageError(f"not a date: {text!r}", flag, "write it as 2024-03-27") from fault
