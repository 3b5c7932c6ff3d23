"""A site between two nights, for the tests that disturb it."""

from pathlib import Path

import pytest

from tests.faults.nights import Stage, evening, results


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, dict[str, object]]:
    """The evening, and what an undisturbed night makes of it."""
    stage = evening(tmp_path_factory.mktemp("evening"))
    calm = stage.copy(tmp_path_factory.mktemp("calm"))
    assert calm.night().code == 0
    return stage, results(calm.folder)


@pytest.fixture
def struck(staged: tuple[Stage, dict[str, object]], tmp_path: Path) -> Stage:
    """The evening in a folder of its own, to be disturbed."""
    return staged[0].copy(tmp_path)
