"""Hrefs of assets: resolved, checked against the allow-list of their catalogue, and redacted for logs."""

import ipaddress
import os
import re
import socket
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit, urlunsplit

from pipeline.model.errors import CatalogueError

_SECRET = re.compile(r"sig|token|key|credential|signature|secret|auth|session|^se$|^sp$|^sv$|^sr$|^st$", re.IGNORECASE)
_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")
_NUMERIC = re.compile(r"^[0-9a-fx.]+$", re.IGNORECASE)
_IPV4_IN_LAST_BYTES = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
REMOTE = ("https", "http", "s3")
FIX = "remove the item from the catalogue, or fix its href"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """Places that items of one catalogue may refer to.

    base: path or URL of the document, hrefs are relative to it. folder: root of a local catalogue, None for a remote
    one. hosts: names that remote assets may lie on; a leading dot stands for any name below it. folders: where assets
    of a local catalogue may lie besides its own folder.
    """

    base: str
    folder: Path | None
    hosts: Collection[str]
    folders: Collection[str] = ()


def resolve_href(href: object, allowed: AllowList, where: str) -> str:
    """An href as an absolute path or URL. Raises CatalogueError outside the asset allow-list."""
    if not isinstance(href, str) or not href.strip():
        raise CatalogueError(f"href is {str(href)[:60]!r}", where, FIX)
    if re.search(r"[\x00-\x1f\x7f]", href) or "/vsi" in unquote(href).lower():
        raise CatalogueError(f"href {redact_href(href)[:80]!r} is no plain path or address", where, FIX)
    try:
        urlsplit(href)
    except ValueError as error:
        raise CatalogueError(f"href {href[:80]!r} is no address: {error}", where, FIX) from error
    if _DRIVE.match(href):
        raise CatalogueError(f"href {href[:80]!r} is a path of Windows", where, "write it relative to its document")
    if _SCHEME.match(href) and not href.lower().startswith("file:"):
        return _resolve_remote(href, allowed, where)
    if allowed.folder is None:
        if href.lower().startswith("file:"):
            raise CatalogueError(f"href {href[:80]!r} points at this machine's files", where, FIX)
        return _resolve_remote(join_href(allowed.base, href, where), allowed, where)
    return _resolve_local(href, allowed, where)


def _resolve_local(href: str, allowed: AllowList, where: str) -> str:
    parts = urlsplit(href) if href.lower().startswith("file:") else None
    if parts is not None and parts.netloc not in ("", "localhost"):
        raise CatalogueError(f"href {href[:80]!r} points at another machine's files", where, FIX)
    text = unquote(parts.path) if parts is not None else href
    target = _follow_links(allowed.base, text)
    if not os.path.lexists(target):
        # written on Windows, or escaped like an address
        spelt = (text.replace("\\", "/"), unquote(text), unquote(text).replace("\\", "/"))
        target = next((other for each in spelt if os.path.lexists(other := _follow_links(allowed.base, each))), target)
    folder = _real_path(str(allowed.folder))
    if (
        target.is_relative_to(folder)
        or _is_sibling_catalogue(target, folder)
        or any(is_within(str(target), f) for f in allowed.folders)
    ):
        return str(target)
    fix = "if you trust it, add the folder to search.asset_folders in groundbreak.toml"
    raise CatalogueError(f"href {href[:80]!r} leads out of the catalogue's folder", where, fix)


def _follow_links(base: str, text: str) -> Path:
    """Target of a local href after symbolic links and dots are resolved."""
    named = Path(base).parent / text
    target = _real_path(str(named.parent)) / named.name
    if named.name == ".." or os.path.islink(target):  # noqa: PTH114  (is_symlink raises where a name is too long)
        return _real_path(str(target))
    return target


@lru_cache
def _real_path(path: str) -> Path:
    """The same for all assets of an item, and the folder for all of a catalogue; a circle of links stays as it is."""
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for a circle


def is_within(target: str, folder: Path | str) -> bool:
    """Whether a path that `resolve_href` gave lies inside a folder."""
    return Path(target).is_relative_to(_real_path(str(folder)))


def _is_sibling_catalogue(target: Path, folder: Path) -> bool:
    """Whether the target lies in a sibling folder that is a catalogue itself, so that catalogues can share pixels."""
    if not target.is_relative_to(folder.parent) or target.parent == folder.parent:
        return False
    sibling = folder.parent / target.relative_to(folder.parent).parts[0]
    return (sibling / "catalog.json").is_file()


def _resolve_remote(href: str, allowed: AllowList, where: str) -> str:
    parts = urlsplit(href)
    if parts.scheme.lower() not in REMOTE:
        raise CatalogueError(f"href {href[:80]!r} uses {parts.scheme}:", where, "https, http and s3 are read")
    host = (parts.hostname or "").lower()
    if not any(host == name or (name.startswith(".") and host.endswith(name)) for name in allowed.hosts):
        kind = "this machine or its network" if is_local(host) else "no host of its catalogue"
        fix = "if you trust it, add the host to search.asset_hosts in groundbreak.toml"
        raise CatalogueError(f"href on {host or 'no host'}, {kind}", where, fix)
    return href


def local_or_remote(source: str) -> str:
    """Where a catalogue lies: a `file:` address as the path that it names, all else as it was given.

    Raises CatalogueError for what is neither a path nor read over http.
    """
    scheme, found, _ = source.partition("://")
    if not found:
        return source
    if scheme.lower() == "file":
        parts = urlsplit(source)
        if parts.netloc not in ("", "localhost"):
            raise CatalogueError("a file on another machine", redact_href(source), "mount it, and name its path")
        return unquote(parts.path)
    if scheme.lower() not in ("http", "https"):
        fix = "name a path or an http(s) address; a bucket's catalogue has one too"
        raise CatalogueError(f"catalogues are not read over {scheme[:20]}:", redact_href(source), fix)
    return source


def host_of(address: str) -> str:
    """The host that an address names, in lower case; "" where it names none or is no address."""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def join_href(base: str, href: str, where: str) -> str:
    """An href of the document at `base` as an absolute address. Raises CatalogueError if it is not one."""
    try:
        address = urljoin(base, href)
        urlsplit(address)
    except ValueError as error:
        raise CatalogueError(f"href {href[:80]!r} is no address: {error}", where, "fix that address") from error
    return address


def link_relation(link: Mapping[str, Any]) -> str:
    """Relation of a link in lower case, because case is not significant (RFC 8288, 2.1.1)."""
    return str(link.get("rel")).lower()


def is_local(host: str) -> bool:
    """Whether a host is this machine or its network, by name or by an address in any spelling."""
    host = _normalise_host(host).rstrip(".")
    if host in ("localhost", "") or host.endswith((".localhost", ".local", ".internal")):
        return True
    address = _parse_ip_address(host)
    return address is not None and not _is_public(address)


def _normalise_host(host: str) -> str:
    """Host as it is resolved: full-width letters and other full stops are mapped (RFC 3490, 3.1; UTS 46)."""
    try:
        return unicodedata.normalize("NFKC", host).replace("\u3002", ".").encode("idna").decode().lower()
    except UnicodeError:
        return host


def leads_inside(host: str) -> bool:
    """Whether a host is this machine or its network once its name is resolved; a name without address is neither."""
    try:
        return is_local(host) or any(map(is_local, addresses_of(host)))
    except (OSError, UnicodeError):
        return False


def addresses_of(host: str) -> list[str]:
    """The addresses that a name resolves to, each once, in the order of the resolver. Raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _parse_ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """IP address in a host, in forms such as 127.0.0.1, 127.1, 2130706433, 0x7f000001 or ::ffff:127.0.0.1."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if _NUMERIC.match(host) else None
    except OSError:
        return None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    within = _ipv4_within(address) if isinstance(address, ipaddress.IPv6Address) else address
    return (within or address).is_global and not address.is_multicast


def _ipv4_within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, 6to4, NAT64 (RFC 6052) or compatible (RFC 4291)."""
    if any(address in network for network in _IPV4_IN_LAST_BYTES):
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


def redact_href(href: str) -> str:
    """Href for logs, without user, password and the values of signatures and tokens."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return "not an address"
    if not parts.query and "@" not in parts.netloc:
        return href
    query = urlencode(
        [(key, "***" if _SECRET.search(key) else value) for key, value in parse_qsl(parts.query)], safe="*"
    )
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))
