"""Objects of S3 stores: signed as the documentation of AWS has it, and read by the rules of other addresses."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from pipeline.catalogue import ranges, s3
from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.providers import Access, access_of
from pipeline.model.bands import Band
from pipeline.model.errors import PixelError
from tests.catalogue.test_pixels import BANDS, GRID, with_red
from tests.peer.range_server import serve

NOW = datetime(2013, 5, 24, tzinfo=UTC)
PUBLISHED = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
KEYS = {"AWS_ACCESS_KEY_ID": "AN-ID", "AWS_SECRET_ACCESS_KEY": "A-SECRET"}
PLAIN = Access(prefix="")


def test_the_signature_is_that_of_the_published_example() -> None:
    found = s3.sign_address("https://examplebucket.s3.amazonaws.com/test.txt", "us-east-1", PUBLISHED, NOW, {}, 86400)
    assert found.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


@pytest.mark.parametrize(
    ("href", "root"),
    [
        ("s3://sentinel-cogs/a/B04.tif", "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a/B04.tif"),
        ("s3://sentinel-s2-l2a/a/B04.jp2", "https://sentinel-s2-l2a.s3.eu-central-1.amazonaws.com/a/B04.jp2"),
        ("s3://eodata/S 2/B04.jp2", "https://eodata.dataspace.copernicus.eu/eodata/S%202/B04.jp2"),
        ("s3://my.own.bucket/B04.tif", "https://s3.us-east-1.amazonaws.com/my.own.bucket/B04.tif"),
    ],
)
def test_a_bucket_is_looked_for_where_its_store_is(href: str, root: str) -> None:
    assert s3.address_of(href, access_of(href), {}, NOW) == root
    assert s3.address_of(href, access_of(href), KEYS, NOW).startswith(f"{root}?X-Amz-Algorithm=")


def test_who_pays_and_the_session_are_part_of_the_signature() -> None:
    href = "s3://sentinel-s2-l1c/a/B04.jp2"
    found = s3.address_of(href, access_of(href), {**KEYS, "AWS_SESSION_TOKEN": "a+b/="}, NOW)
    query = parse_qs(urlsplit(found).query)
    assert query["x-amz-request-payer"] == ["requester"] and query["X-Amz-Security-Token"] == ["a+b/="]
    assert "A-SECRET" not in found


NO_BUCKET = ("s3://example.org@bucket/x", "s3://b/x", "s3://bucket", "s3://UPPER/x", "s3://a b/x", "s3://bucket:80/x",
             "s3://-bucket/x")  # fmt: skip


@pytest.mark.parametrize("href", NO_BUCKET)
def test_what_names_no_bucket_is_refused(href: str) -> None:
    with pytest.raises(PixelError, match="names no object"):
        s3.address_of(href, PLAIN, {}, NOW)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "PAUSE_S", 0.0)
    monkeypatch.setattr("pipeline.catalogue.pixels.PAUSE_S", 0.0)


@pytest.fixture
def store(tile: Path, tmp_path: Path) -> Path:
    """A bucket with one band."""
    (tmp_path / "some-bucket").mkdir()
    shutil.copy(tile / "red.tif", tmp_path / "some-bucket")
    return tmp_path


def test_pixels_of_a_store_are_those_of_the_file(
    tile: Path, store: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    with serve(store) as server:
        monkeypatch.setenv("AWS_S3_ENDPOINT", f"{server.url}/ok")
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        (far,) = read_chips(with_red(tile, "s3://some-bucket/red.tif"), GRID, BANDS)
    (near,) = read_chips(with_red(tile, str(tile / "red.tif")), GRID, BANDS)
    assert np.array_equal(far.dn[Band.B04].data, near.dn[Band.B04].data)
    assert {method for method, _, _ in server.log} == {"GET"}


@pytest.mark.parametrize(
    ("fault", "reason"), [("redirect", "redirected to"), ("503", "HTTP 503"), ("html", "web page")]
)
def test_a_store_is_held_to_the_rules_of_other_addresses(
    tile: Path, store: Path, monkeypatch: pytest.MonkeyPatch, quick: None, fault: str, reason: str
) -> None:
    with serve(store) as server:
        monkeypatch.setenv("AWS_S3_ENDPOINT", f"{server.url}/{fault}")
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(PixelError, match=reason) as caught:
            read_chips(with_red(tile, "s3://some-bucket/red.tif"), GRID, BANDS)
    assert "Signature" not in str(caught.value) and "AN-ID" not in str(caught.value)
