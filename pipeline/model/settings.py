"""Every tunable of the pipeline, typed, with its unit and its reason.

One file, `groundbreak.toml`; a site may override single keys, and so may the command line. What is not
written keeps the value given here.
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.model.errors import SettingsError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Search(_Section):
    """Which scenes are asked for."""

    catalog: str = Field("https://earth-search.aws.element84.com/v1", description="catalogue of sites without one")
    collection: str = Field("sentinel-2-l2a", description="collection of sites without one")
    max_cloud_percent: float = Field(95.0, ge=0, le=100, description="whole-tile cloud above which a scene is not read")
    max_area_km2: float = Field(15000.0, gt=0, description="largest AOI taken as one site; a whole tile has 12,100")
    asset_hosts: tuple[str, ...] = Field((), description="hosts for assets, besides those of the providers")
    asset_folders: tuple[str, ...] = Field((), description="folders for assets, besides that of the catalogue")


class Correct(_Section):
    """From chip to look."""

    min_clear_share: float = Field(
        0.10, ge=0, le=1, description="clear share of the AOI below which a look is rejected"
    )
    cloud_buffer_m: float = Field(60.0, ge=0, description="buffer around clouds and their shadows, metres")
    max_shift_px: float = Field(8.0, gt=0, description="largest misregistration that is searched, pixels of 10 m")


class Decide(_Section):
    """From looks to alerts."""

    false_alarms_per_100km2_year: float = Field(3.0, gt=0, description="accepted number of false confirmed polygons")
    min_history: int = Field(3, ge=2, le=10_000, description="clear looks that are needed before a change")
    min_area_m2: float = Field(200.0, gt=0, description="smallest outline that is reported, square metres")


class Review(_Section):
    """What is written for the analyst."""

    max_timelines: int = Field(
        300, ge=0, le=1_000_000, description="alerts with a timeline picture, highest confidence first"
    )


ChangeType = Literal["new structure", "cleared ground", "resurfaced", "demolished"]


class Report(_Section):
    """What a reader of the report sees first."""

    kinds: tuple[ChangeType, ...] = Field(
        ("new structure",), description="change types shown; others are folded unless their verdict is construction"
    )


class Notify(_Section):
    """Notifications: recipients and servers. Secret addresses come from the environment only (docs/nightly.md)."""

    webhook: Literal["json", "slack"] = Field("json", description="format of the messages to GROUNDBREAK_WEBHOOK_URL")
    mail_to: tuple[str, ...] = Field((), description="recipients of the mails; none: no mail")
    mail_from: str = Field("groundbreak@localhost", description="sender of the mails")
    smtp_host: str = Field("localhost", description="mail server")
    smtp_port: int = Field(587, ge=1, le=65535, description="port of the mail server")
    smtp_security: Literal["starttls", "tls", "none"] = Field("starttls", description="connection security")
    smtp_user: str = Field("", description="user name, with GROUNDBREAK_SMTP_PASSWORD; empty: no login")
    kinds: tuple[ChangeType, ...] = Field(
        ("new structure", "cleared ground", "resurfaced", "demolished"), description="change types notified"
    )
    min_confidence: float = Field(0.0, ge=0, le=1, description="least confidence notified; the feed has all alerts")
    ping_failed_share: float = Field(
        0.1, ge=0, le=1, description="share of failed sites up to which the dead-man's switch is pinged"
    )
    escalate_after: int = Field(7, ge=1, le=9999, description="failed nights in a row after which a site is reported")
    base_url: str = Field("", pattern=r"^(https?://\S+)?$", description="public address of `out/`, for links")


class Keep(_Section):
    """What is kept beside the results, and for how long."""

    chips_days: int = Field(90, ge=1, le=100_000, description="days after which a chip that no night used is removed")
    chips_gb: float = Field(50.0, gt=0, description="space for chips, GB; above it the least recently used are removed")
    backups: int = Field(
        7, ge=0, le=9999, description="number of backups of each `review.gpkg`, one per night that changed it"
    )


class Settings(_Section):
    """All settings; `groundbreak.toml` has one table a section."""

    search: Search = Search()
    correct: Correct = Correct()
    decide: Decide = Decide()
    review: Review = Review()
    report: Report = Report()
    notify: Notify = Notify()
    keep: Keep = Keep()


WHOLE = ("notify", "keep")
"""Sections of the run as a whole: they bear on no result, and an AOI file, which may come from anybody, sets none."""

SHOWN = ("report",)
"""Sections that change how results are shown and no result; a site may set them."""


OWNER_ONLY = ("search.catalog", "search.asset_hosts", "search.asset_folders", "search.max_area_km2")
"""Keys that decide what is trusted, and how much: only groundbreak.toml sets them, no AOI file."""


def parse_settings(text: str, where: str = "groundbreak.toml") -> Settings:
    """Settings from TOML text. Raises SettingsError naming the key, the error and the nearest known name."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"not TOML: {error}", where, "write one `key = value` a line under [section]") from error
    return _validate_tables(tables, where)


def override_settings(base: Settings, changes: Mapping[str, object], where: str) -> Settings:
    """Settings with dotted keys replaced ("decide.min_history" -> 5); raises SettingsError like `parse`."""
    tables = base.model_dump()
    for dotted, value in changes.items():
        section, _, key = dotted.partition(".")
        if dotted in tables:
            fix = f'name single keys, with a dot: "{section}.{next(iter(tables[section]))}"'
            raise SettingsError(f"{dotted} is a section of settings", where, fix)
        if not key or section not in tables or key not in tables[section]:
            raise _unknown_key_error(dotted, where)
        if section in WHOLE:
            raise SettingsError(f"{dotted} cannot be set for one site", where, "set it in groundbreak.toml")
        tables[section][key] = value
    return _validate_tables(tables, where)


def setting_names() -> tuple[str, ...]:
    """All keys, dotted, in the order of the sections."""
    return tuple(f"{section}.{key}" for section, table in Settings().model_dump().items() for key in table)


def settings_digest(settings: Settings) -> str:
    """16 hex digits that change with any value that a result depends on; stored with every result."""
    facts = settings.model_dump(exclude={*WHOLE, *SHOWN})
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _validate_tables(tables: Mapping[str, Any], where: str) -> Settings:
    try:
        return Settings.model_validate(tables)
    except ValidationError as error:
        first = error.errors()[0]
        dotted = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise _unknown_key_error(dotted, where) from error
        raise SettingsError(
            f"{dotted} = {first['input']!r}: {first['msg'].lower()}", where, "see docs/settings.md for its range"
        ) from error


def _unknown_key_error(dotted: str, where: str) -> SettingsError:
    sections = tuple(Settings.model_fields)
    known = setting_names() if "." in dotted else sections
    near = difflib.get_close_matches(dotted, known, n=1, cutoff=0.5)
    fix = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return SettingsError(f"unknown setting {dotted}", where, fix)
