"""A published site, made once; tests that change it take a copy."""

import shutil
from pathlib import Path

import pytest

from pipeline.model.settings import Settings, override_settings
from pipeline.review.publish import Published, publish_site
from tests.review import made


def put(
    path: Path, alerts, looks=None, *, site=None, max_timelines=300, kinds=("new structure",), base_url="", **changes
) -> Published:
    looks = made.looks([alert.outline for alert in alerts]) if looks is None else looks
    decision = made.decision(alerts, looks, **changes)
    settings = override_settings(Settings(), {"review.max_timelines": max_timelines, "report.kinds": kinds}, "test")
    settings = settings.model_copy(update={"notify": settings.notify.model_copy(update={"base_url": base_url})})
    return publish_site(path, site or made.site(), decision, looks, made.records(looks), settings)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "made-place"
    put(path, [made.alert(1), made.alert(2, row=30, col=30, confidence=0.6)])
    return path


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "made-place"))
