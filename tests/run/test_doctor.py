"""What the doctor says of the ways to tell."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.run.doctor import Check, Health, checks


def told(tmp_path: Path) -> Check:
    (tmp_path / "groundbreak.toml").write_text('[search]\ncatalog = "."\n[notify]\nmail_to = ["desk@example.org"]\n')
    every = checks(tmp_path / "out", tmp_path / "groundbreak.toml", tmp_path / "none.geojson", datetime.now(UTC))
    return next(check for check in every if check.name == "notify")


def test_the_doctor_names_the_ways_to_tell_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDBREAK_PING_URL", "https://example.org/T0K3N")
    assert told(tmp_path) == Check(name="notify", health=Health.OK, found="feed, mail, ping")


def test_the_doctor_finds_an_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDBREAK_WEBHOOK_URL", "T0K3N")
    check = told(tmp_path)
    assert check.health is Health.FAULT and "GROUNDBREAK_WEBHOOK_URL" in check.found
    assert "T0K3N" not in check.found + check.mend
