"""The table of providers: properties of their items, and how their hrefs are opened."""

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.model.bands import Band
from pipeline.model.imagery import Level


class Provider(BaseModel):
    """One row; the fields are explained at the top of providers.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    collections: tuple[str, ...]
    marks: tuple[str, ...]
    api: str | None = None
    hosts: tuple[str, ...] = ()
    keys: tuple[str, ...]
    scl: tuple[str, ...]
    level: Level
    offset: Literal["kept", "flag", "stated"]
    flag: str | None = None
    unflagged_before: date | None = None
    page: int = Field(gt=0)
    window_days: int | None = None

    def names(self, band: Band) -> tuple[str, ...]:
        """Asset keys under which this provider may file a band, best first."""
        return _spell_keys(self.keys, band)


@cache
def _spell_keys(keys: tuple[str, ...], band: Band) -> tuple[str, ...]:
    return tuple(key.format(band=band.value, role=band.role, native=band.native_m) for key in keys)


class Access(BaseModel):
    """How hrefs with a prefix are opened: where the store is, signing, what must be in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    endpoint: str = ""
    region: str = ""
    is_requester_pays: bool = False
    sign: Literal["planetary-computer"] | None = None
    needs: tuple[str, ...] = ()


@cache
def read_providers() -> tuple[Provider, ...]:
    """All rows, in the order of the table."""
    return tuple(Provider.model_validate(row) for row in _read_table()["provider"])


@cache
def _read_accesses() -> tuple[Access, ...]:
    return tuple(Access.model_validate(row) for row in _read_table()["access"])


def access_of(href: str) -> Access:
    """Access rule of an href; the default if no row has its prefix."""
    fitting = [row for row in _read_accesses() if href.startswith(row.prefix)]
    return max(fitting, key=lambda row: len(row.prefix), default=Access(prefix=""))


def recognise_provider(collection: str | None, properties: Mapping[str, Any], hosts: frozenset[str]) -> Provider:
    """Row of an item: by collection and a name or host of its own; by host alone in a mirror.

    hosts: where its assets lie. An item that names no collection is known by a provider's flag too; other properties
    are everybody's. The last row fits everything.
    """
    for row in read_providers():
        marked = any(name.startswith(row.marks) for name in properties) if row.marks else not row.collections
        if (not row.collections or collection in row.collections) and (marked or not hosts.isdisjoint(row.hosts)):
            break
        if collection is None and row.flag is not None and marked:
            break
    if not row.collections:
        return next((each for each in read_providers() if not hosts.isdisjoint(each.hosts)), row)
    return row


def api_rows(host: str) -> tuple[Provider, ...]:
    """Rows of an API's host, none for a private server."""
    return tuple(row for row in read_providers() if row.api == host)


def known_hosts() -> frozenset[str]:
    """Every host that some provider keeps assets on."""
    return frozenset(host for row in read_providers() for host in row.hosts)


def _read_table() -> dict[str, Any]:
    return tomllib.loads(files("pipeline.catalogue").joinpath("providers.toml").read_text(encoding="utf-8"))
