"""Selection of sites, catalogue, period and settings from the arguments."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from pipeline.catalogue.hrefs import local_or_remote
from pipeline.catalogue.sites import SitesRead, check_reach, parse_time, read_sites
from pipeline.model.errors import SettingsError, UsageError
from pipeline.model.settings import Settings, override_settings, parse_settings
from pipeline.model.site import Site
from pipeline.review.layout import Results
from pipeline.run.cells import is_wide
from pipeline.run.process_site import SiteJob

SETTINGS_FILE = Path("groundbreak.toml")
"""Settings that are read by default, in the working directory."""
AOIS = Path("aois")
"""Folder of the AOI files that are read by default, in the working directory."""


def packaged_aois() -> Path:
    """The AOI files and the embedded archive that come with the program: in its wheel, or in the checkout."""
    root = Path(__file__).resolve().parents[2]
    installed = root / "groundbreak" / "aois"
    return installed if installed.is_dir() else root / "aois"


def read_aois(ids: Sequence[str], files: Sequence[Path], settings: Settings) -> SitesRead:
    """The sites of the AOI files; without files those of `./aois`.

    An id that is not in `./aois` is looked up in the AOI files of the package, so that `detect february-11-plant` works
    in any folder. Raises UsageError where neither files nor ids are given and there is no `./aois`.
    """
    paths = tuple(files) or ((AOIS,) if AOIS.is_dir() else ())
    if not paths and not ids:
        fix = "`groundbreak sites add` makes it, --sites names another file, `groundbreak demo` needs none"
        raise UsageError("no folder of AOI files here", f"{AOIS}/", fix)
    read = read_sites(paths, settings)
    if files or {site.id for site in read.sites}.issuperset(ids):
        return read
    packaged = {site.id: site for site in read_sites((packaged_aois(),), settings).sites}
    return replace(read, sites=tuple((packaged | {site.id: site for site in read.sites}).values()))


def select_sites(ids: Sequence[str], files: Sequence[Path], read: SitesRead) -> tuple[Site, ...]:
    """The sites with these ids in their order, all that were read if no id is given.

    Raises UsageError for an unknown id, SiteError where no site is left to work on.
    """
    known = {site.id: site for site in read.sites}
    unknown = [wanted for wanted in ids if wanted not in known]
    if unknown:
        near = get_close_matches(unknown[0], known, n=1, cutoff=0.4)
        fix = f"did you mean {near[0]}?" if near else "`groundbreak sites list` shows them all"
        raise UsageError(f"no site {unknown[0]!r}", ", ".join(map(str, files)) or f"{AOIS}/", fix)
    sites = tuple(known[wanted] for wanted in dict.fromkeys(ids)) if ids else read.sites
    if not sites and read.errors:
        raise read.errors[-1]
    if not sites:
        raise UsageError("no site", ", ".join(map(str, files)) or f"{AOIS}/", "`groundbreak sites add` makes one")
    return sites


def read_settings(file: Path | None) -> Settings:
    """The settings of a file; without a name those of SETTINGS_FILE if it exists, else the defaults.

    Raises SettingsError if the file cannot be read, or a key or value in it is wrong.
    """
    path = file or SETTINGS_FILE
    if file is None and not path.exists():
        return Settings()
    if file is None and not path.is_file():
        # a pipe would be waited for without end; one that is named, as by `--config <(...)`, is read
        raise SettingsError("no file", str(path), "make it a UTF-8 text file, or move it away")
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows put a mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", str(path), "make it a UTF-8 text file") from error
    return parse_settings(text, str(path))


def require_whole(site: Site) -> None:
    """Raise UsageError for a site that is processed in cells, where the looks are needed as a whole."""
    if is_wide(site):
        rows, cols = site.grid.shape
        what = f"{rows * cols / 1e4:,.0f} km2 are judged in cells, and this needs the looks as a whole"
        raise UsageError(what, site.id, "give it a part of the site as an AOI of its own, of up to 40 km2")


def site_job(
    site: Site,
    settings: Settings,
    *,
    catalog: str | None,
    start: str | None,
    end: str | None,
    scenes: Sequence[str] = (),
    out: Path | None = None,
) -> SiteJob:
    """The work on one site. Flags have priority over the settings of the site, those over groundbreak.toml."""
    own = override_settings(settings, site.settings, site.id)
    begin = parse_day(start, "--start") or site.start
    # the only place where the clock is read for a decision: a run without --end judges what there is now
    until = parse_day(end, "--end", last=True) or site.end or datetime.now(UTC)
    if begin is not None and begin >= until:
        raise UsageError(
            f"the period ends ({until:%Y-%m-%d}) before it begins ({begin:%Y-%m-%d})", site.id, "swap --start and --end"
        )
    source = local_or_remote(catalog or site.catalog or own.search.catalog)
    check_reach(site, source, settings)
    if "://" not in source:
        _check_exists(source)
    return SiteJob(
        site=site, source=source, collection=site.collection, start=begin, until=until, settings=own,
        extra_scenes=tuple(scenes), chips=None if out is None else Results(out).chips,
        memory=None if out is None else Results(out).cache(site.id),
    )  # fmt: skip


def _check_exists(source: str) -> None:
    fix = "give a STAC file or folder, an API root, or a folder of .SAFE"
    try:
        if not Path(source).exists():
            raise UsageError("no such catalogue", source, fix)
    except OSError as error:
        raise UsageError(f"no such catalogue: {error.strerror}", source, fix) from error


def parse_day(text: str | None, flag: str, *, last: bool = False) -> datetime | None:
    """A day or a time as UTC; a plain day given as the end includes its last second. Raises UsageError."""
    if text is None:
        return None
    try:
        return parse_time(text, last=last)
    except ValueError as error:
        raise UsageError(f"not a date: {text!r}", flag, "write it as 2024-03-27") from error
