"""Nights that go on from what earlier ones found out: the same answer, bit for bit, and no work done twice."""

import ast
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline.run.incremental as deciding
import pipeline.run.looks as correcting
from pipeline.catalogue.sites import read_sites
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run import result_cache
from pipeline.run.checked_files import CheckedFiles
from pipeline.run.process_site import SiteJob, SiteResult, process_site
from pipeline.run.result_cache import FACTS, Packed, ResultCache, code_digest
from tests import world

DATES, DAYS = 29, 10


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SiteJob:
    folder = tmp_path_factory.mktemp("place")
    catalog = world.catalogue(folder / "catalogue", dates=DATES, built_from=20, days=DAYS)
    world.write_sites(folder / "sites.geojson", [world.feature(str(catalog))])
    site = read_sites([folder / "sites.geojson"]).sites[0]
    return SiteJob(
        site=site, source=str(catalog), collection=None, start=None, until=_night(DATES), settings=Settings()
    )


def _night(number: int) -> datetime:
    """The evening of the day of a scene, counted from one."""
    return world.FIRST + timedelta(days=DAYS * (number - 1), hours=12)


def same(one: Any, two: Any) -> bool:
    """Equal to the last bit, arrays and values of values too."""
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.tobytes() == two.tobytes()
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, each.name), getattr(two, each.name)) for each in fields(one))
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def test_what_a_process_has_imported_does_not_change_the_names_of_cached_values() -> None:
    code = "from pipeline.run.result_cache import code_digest; print(code_digest())"
    digests = {
        subprocess.run([sys.executable, "-c", f"{first}; {code}"], capture_output=True, text=True, check=True).stdout
        for first in ("pass", "import scipy.linalg, skimage.registration, geopandas")
    }
    assert digests == {f"{code_digest()}\n"}


def test_a_table_that_was_learned_is_part_of_the_names_of_cached_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(result_cache.PACKAGE, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(result_cache, "PACKAGE", tmp_path)
    before = code_digest.__wrapped__()
    assert before == code_digest()
    table = next((tmp_path / "decide").glob("*.json"))
    table.write_text(table.read_text() + " ")
    assert code_digest.__wrapped__() != before


def test_every_library_of_the_pure_layers_is_part_of_the_names_of_cached_values() -> None:
    named = packages_distributions()
    nodes = [
        node
        for floor in ("model", "numerics", "correct", "decide")
        for path in (result_cache.PACKAGE / floor).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    found = {each.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for each in node.names}
    found |= {str(node.module).partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    owners = [set(named[each]) for each in found - sys.stdlib_module_names - {"pipeline"}]
    libraries = set(result_cache.LIBRARIES)
    assert all(owner & libraries for owner in owners) and libraries <= set[str]().union(*owners)


def answer(job: SiteJob) -> SiteResult:
    return process_site(job, no_progress)


def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often each costly stage runs from now on; the screening counts looks."""
    stages = (
        "make_unregistered",
        "make_look",
        "build_reference",
        "build_baseline",
        "residual_of",
        "natural_steps",
        "advance_each",
    )
    calls = dict.fromkeys(stages, 0)

    def count(module: Any, name: str, size: Callable[..., int]) -> None:
        function = getattr(module, name)

        def run(*args: Any) -> Any:
            calls[name] += size(*args)
            return function(*args)

        monkeypatch.setattr(module, name, run)

    for name in ("make_unregistered", "make_look", "build_reference"):
        count(correcting, name, lambda *_: 1)
    for name in ("build_baseline", "residual_of", "natural_steps"):
        count(deciding, name, lambda *_: 1)
    count(deciding, "advance_each", lambda portions, *_: sum(stops[-1] - before.count for before, stops in portions))
    return calls


def test_every_night_is_what_a_full_replay_gives(place: SiteJob, tmp_path: Path) -> None:
    # too few for a reference that stays, its baseline new since, and one look more on the same foundation
    for number in (8, DATES - 1, DATES):
        tonight = replace(place, until=_night(number))
        onwards, anew = answer(replace(tonight, memory=tmp_path / "memory")), answer(tonight)
        assert same(onwards.decision, anew.decision), number
        assert same(onwards.records, anew.records), number
    assert any(alert.confirmed_at for alert in onwards.decision.alerts)


def test_a_night_makes_only_its_new_look(place: SiteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    night = replace(place, memory=tmp_path / "memory", until=_night(DATES - 1))
    before = answer(night)
    calls = counted(monkeypatch)
    after = answer(replace(night, until=_night(DATES)))
    assert len(after.looks) == len(before.looks) + 1
    # no flag changed: the screening of all looks goes on by one, and so does that of all but the last REACH, which is
    # kept for a night that changes their flags
    once = dict.fromkeys(calls, 0) | {"make_unregistered": 1, "make_look": 1, "residual_of": 1, "advance_each": 2}
    assert calls == once
    assert same(answer(replace(night, until=_night(DATES))).decision, after.decision)
    assert calls == once


def test_another_setting_or_another_file_is_judged_anew(
    place: SiteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = replace(place, memory=tmp_path / "memory", until=_night(9))
    answer(night)
    calls = counted(monkeypatch)
    stricter = place.settings.correct.model_copy(update={"cloud_buffer_m": 100.0})
    answer(replace(night, settings=place.settings.model_copy(update={"correct": stricter})))
    assert calls["make_unregistered"] == 9


def test_what_rotted_is_made_again(place: SiteJob, tmp_path: Path) -> None:
    night = replace(place, memory=tmp_path / "memory", until=_night(11))
    first = answer(night)
    files = sorted((tmp_path / "memory").iterdir())
    assert len(files) > 20
    for number, path in enumerate(files):
        whole = path.read_bytes()
        path.write_bytes([whole, whole[:-7], bytes([whole[0] ^ 1]) + whole[1:], b"", whole][number % 5])
        if number % 5 == 4:
            path.unlink()
    assert same(answer(night).decision, first.decision)
    assert all(CheckedFiles(tmp_path / "memory").read(path.name) is not None for path in files)


def test_each_screening_that_is_lost_alone_is_made_again(
    place: SiteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains: list[list[str]] = []

    def recorded(baseline_key: str, keys: Sequence[str]) -> list[str]:
        chains.append(chain(baseline_key, keys))
        return chains[-1]

    chain = deciding._screening_keys
    monkeypatch.setattr(deciding, "_screening_keys", recorded)
    night = replace(place, memory=tmp_path / "memory", until=_night(11))
    first = answer(night)
    kept = [tmp_path / "memory" / key for key in chains[-1] if (tmp_path / "memory" / key).exists()]
    assert len(kept) == 2, "before the last looks, and of all"
    for path in kept:
        path.unlink()
        assert same(answer(night).decision, first.decision), "a part of the looks decided"


def test_what_was_read_stays_whatever_becomes_of_its_file(tmp_path: Path) -> None:
    files = CheckedFiles(tmp_path)
    files.write("name", [b"as it was"])
    body = files.read("name")
    with (tmp_path / "name").open("r+b") as file:
        file.write(b"other now")
    assert body is not None and bytes(body) == b"as it was"


def test_what_the_disk_does_not_give_back_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    files = CheckedFiles(tmp_path)
    files.write("name", [b"as it was"])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fails)
        assert files.read("name") is None
    assert files.damaged == ["name"] and not (tmp_path / "name").exists()


def test_a_scene_that_was_known_and_cannot_be_read_again_is_left_out_and_named(place: SiteJob, tmp_path: Path) -> None:
    shutil.copytree(Path(place.source).parent, tmp_path / "catalogue")
    night = replace(place, source=str(tmp_path / "catalogue" / Path(place.source).name), until=_night(11))
    remembering = replace(night, memory=tmp_path / "memory")
    scene = answer(remembering).looks[3].scene
    asset = Path(next(iter(scene.granules[0].assets.values())))
    before = asset.stat()
    asset.write_bytes(b"x" * before.st_size)
    # the same size and time: what is remembered of it stays, until its pixels are wanted again
    os.utime(asset, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert any(look.scene.id == scene.id for look in answer(remembering).looks)
    for path in (tmp_path / "memory").iterdir():
        if path.name != FACTS:
            path.unlink()
    after, anew = answer(remembering), answer(night)
    assert {record.reason for record in after.records if record.scene == scene.id} == {"unreadable"}
    assert same(after.decision, anew.decision) and len(after.errors) == 1


def test_what_no_judgement_asks_for_goes(place: SiteJob, tmp_path: Path) -> None:
    night = replace(place, memory=tmp_path / "memory", until=_night(20))
    answer(night)
    held = {path.name for path in (tmp_path / "memory").iterdir()}
    (tmp_path / "memory" / "of a killed night.77.part").write_bytes(b"half")
    answer(replace(night, until=_night(5)))
    assert len({path.name for path in (tmp_path / "memory").iterdir()}) < len(held) / 2
    assert not list((tmp_path / "memory").glob("*.part"))


def test_a_disk_that_takes_no_more_ends_only_the_remembering(
    place: SiteJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = replace(place, memory=tmp_path / "memory", until=_night(12))
    whole, written = CheckedFiles.write, []

    def short(self: CheckedFiles, name: str, parts: Any) -> None:
        written.append(name)
        if len(written) > 8:
            raise OSError(28, "No space left on device")
        whole(self, name, parts)

    monkeypatch.setattr(CheckedFiles, "write", short)
    found = answer(night)
    assert [str(error).splitlines()[0] for error in found.errors if "No space left" in str(error)]
    assert same(found.decision, answer(replace(place, until=_night(12))).decision)
    assert not list((tmp_path / "memory").iterdir())


def test_without_room_to_spare_nothing_is_written(tmp_path: Path) -> None:
    assert ResultCache.of(tmp_path, 10**18).root is None
    assert ResultCache.of(tmp_path / "new" / "site", 0).root == tmp_path / "new" / "site"


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    memory = ResultCache(tmp_path)
    arrays = {"empty": np.zeros((0, 3), np.int16), "odd": np.arange(7, dtype=np.float16), "flag": np.ones((3, 1), bool)}
    memory.store_arrays("mark", Packed(facts={"nan": float("nan")}, arrays=arrays))
    found = ResultCache(tmp_path).find_arrays("mark")
    assert found is not None and np.isnan(found.facts["nan"])
    assert all(same(found.arrays[name], array) for name, array in arrays.items())
    assert not found.arrays["odd"].flags.writeable
