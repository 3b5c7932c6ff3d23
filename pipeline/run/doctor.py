"""Checks of the requirements of groundbreak on a machine, each with a fix."""

import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyogrio
import rasterio
import requests

from pipeline.catalogue.environment import check_certificates, check_proj, network_settings
from pipeline.catalogue.sites import read_sites
from pipeline.catalogue.transport import new_session, run_with_deadline, send_request
from pipeline.model.errors import SettingsError, UsageError
from pipeline.model.settings import Settings, parse_settings
from pipeline.notify.channels import open_channels, read_secrets

LIBRARIES = ("numpy", "scipy", "scikit-image", "shapely", "geopandas", "odc-geo", "pystac-client")
DRIVERS = {"COG": "pictures", "JP2OpenJPEG": "SAFE products and L1C", "GTiff": "everything"}
MIN_FREE_GB = 2.0
MAX_CLOCK_SECONDS = 120.0
ANSWER_SECONDS = 5.0
NETWORK_FIX = "check the connection and any proxy; the demonstration sites need none: make detect"
CERTIFICATE_FIX = "name the certificate of your own authority in SSL_CERT_FILE (docs/providers.md)"


class Health(StrEnum):
    """How one check went. WARNING: works, but something a user may want is missing."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the doctor: subject, finding, and fix ("" if healthy)."""

    name: str
    health: Health
    found: str
    fix: str = ""


def run_checks(out: Path, settings_file: Path, sites: Path, now: datetime) -> Iterator[Check]:
    """Every check in turn; those that need a network wait at most a few seconds each."""
    yield _check_python()
    yield from _check_libraries()
    yield from _check_drivers()
    yield _check_usable("PROJ", check_proj, "coordinate systems are known")
    yield _check_usable("certificates", check_certificates, network_settings() or "the system's, no proxy")
    settings_check, settings = _check_settings(settings_file)
    yield settings_check
    yield _check_channels(settings)
    yield _check_sites(sites, settings)
    yield _check_writable(out)
    yield _check_disk(out)
    yield from _check_providers(settings, now)


def _check_python() -> Check:
    return Check(name="Python", health=Health.OK, found=".".join(map(str, sys.version_info[:3])))


def _check_libraries() -> Iterator[Check]:
    for name in LIBRARIES:
        try:
            yield Check(name=name, health=Health.OK, found=version(name))
        except PackageNotFoundError:
            yield Check(name=name, health=Health.ERROR, found="missing", fix="install groundbreak again")
    for name, use in {"planetary-computer": "signing for Planetary Computer", "distributed": "--scheduler"}.items():
        try:
            yield Check(name=name, health=Health.OK, found=version(name))
        except PackageNotFoundError:
            extra = "planetary" if name == "planetary-computer" else "dask"
            fix = f"only for {use}: pip install 'groundbreak[{extra}]'"
            yield Check(name=name, health=Health.WARNING, found="not installed", fix=fix)


def _check_drivers() -> Iterator[Check]:
    with rasterio.Env() as environment:
        have = environment.drivers()
    for name, use in DRIVERS.items():
        known = name in have
        yield Check(
            name=f"GDAL {rasterio.__gdal_version__} {name}",
            health=Health.OK if known else Health.ERROR,
            found="there" if known else "missing",
            fix="" if known else f"needed for {use}: install rasterio from its wheel",
        )
    vectors = pyogrio.list_drivers(write=True)
    ready = "GPKG" in vectors
    yield Check(
        name="GDAL GPKG",
        health=Health.OK if ready else Health.ERROR,
        found="there" if ready else "missing",
        fix="" if ready else "needed for review files: install pyogrio from its wheel",
    )


def _check_usable(name: str, check: Callable[[], None], found: str) -> Check:
    try:
        check()
    except UsageError as error:
        return Check(name=name, health=Health.ERROR, found=f"{error.what} ({error.where})", fix=error.fix)
    return Check(name=name, health=Health.OK, found=found)


def _check_settings(path: Path) -> tuple[Check, Settings]:
    if not path.exists():
        found = f"no {path.name}, defaults hold"
        return Check(name="settings", health=Health.OK, found=found), Settings()
    try:
        settings = parse_settings(path.read_text(encoding="utf-8"), str(path))
    except (SettingsError, OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return Check(name="settings", health=Health.ERROR, found=str(error), fix="see docs/settings.md"), Settings()
    return Check(name="settings", health=Health.OK, found=str(path)), settings


def _check_channels(settings: Settings) -> Check:
    secrets = read_secrets()
    ways, errors = open_channels(settings.notify, secrets)
    if errors:
        found = "; ".join(f"{error.what} ({error.where})" for error in errors)
        return Check(name="notify", health=Health.ERROR, found=found, fix=errors[0].fix)
    names = ["feed", *(way.name for way in ways), *(["ping"] if secrets.ping_url else [])]
    return Check(name="notify", health=Health.OK, found=", ".join(names))


def _check_sites(path: Path, settings: Settings) -> Check:
    if not path.exists():
        fix = "`groundbreak sites add` makes the folder; `groundbreak demo` needs none"
        return Check(name="sites", health=Health.WARNING, found=f"no folder {path}/ here", fix=fix)
    read = read_sites((path,), settings)
    if read.errors:
        return Check(
            name="sites",
            health=Health.ERROR,
            found=f"{len(read.sites)} good, {len(read.errors)} not: {read.errors[0]}",
            fix="groundbreak sites check",
        )
    return Check(name="sites", health=Health.OK, found=f"{len(read.sites)} in {path}")


def _check_writable(out: Path) -> Check:
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out):
            return Check(name="results", health=Health.OK, found=f"{out} can be written")
    except OSError as error:
        found = f"{out}: {error.strerror}"
        return Check(name="results", health=Health.ERROR, found=found, fix="give another folder with --out")


def _check_disk(out: Path) -> Check:
    place = next(folder for folder in (out, *out.resolve().parents) if _is_there(folder))
    free = shutil.disk_usage(place).free / 1e9
    if free >= MIN_FREE_GB:
        return Check(name="disk", health=Health.OK, found=f"{free:.0f} GB free")
    fix = "free some: chips of old scenes may be deleted (out/.groundbreak/chips)"
    return Check(name="disk", health=Health.WARNING, found=f"{free:.1f} GB free", fix=fix)


def _check_providers(settings: Settings, now: datetime) -> Iterator[Check]:
    root = settings.search.catalog
    if "://" not in root:
        there = _is_there(Path(root))
        fix = "" if there else "fix search.catalog in groundbreak.toml"
        yield Check(name="catalogue", health=Health.OK if there else Health.ERROR, found=root, fix=fix)
        return
    try:
        code, stamp = run_with_deadline(2 * ANSWER_SECONDS, lambda: _request_root(root))
        reason: object = "" if code < 400 else f"HTTP {code}"
    except (requests.RequestException, OSError, HTTPException, ValueError) as error:
        reason, stamp = str(error)[:160] or type(error).__name__, None
        fix = CERTIFICATE_FIX if isinstance(error, requests.exceptions.SSLError) else NETWORK_FIX
    else:
        fix = NETWORK_FIX
    if reason:
        yield Check(name="catalogue", health=Health.WARNING, found=f"{root} does not answer: {reason}", fix=fix)
        return
    yield Check(name="catalogue", health=Health.OK, found=f"{root} answers")
    yield _check_clock(stamp, now)


def _request_root(root: str) -> tuple[int, str | None]:
    """(HTTP status, time stamp) of an answer, on the way that search and pixels take."""
    with send_request(new_session(), "GET", root, timeout=ANSWER_SECONDS) as answer:
        return answer.status_code, answer.headers.get("Date")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _check_clock(stamp: str | None, now: datetime) -> Check:
    try:
        server_time = parsedate_to_datetime(stamp or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return Check(name="clock", health=Health.WARNING, found="the catalogue states no time", fix="check it by hand")
    off = abs((server_time - now).total_seconds())
    if off <= MAX_CLOCK_SECONDS:
        return Check(name="clock", health=Health.OK, found=f"within {off:.0f} s of the catalogue's")
    fix = "set the clock (timedatectl set-ntp true): nights are cut by it"
    return Check(name="clock", health=Health.ERROR, found=f"{off:.0f} s off the catalogue's", fix=fix)
