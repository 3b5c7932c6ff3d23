"""Cached values: each field comes back bit for bit, under a name that covers the code that computed it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.run import result_cache
from pipeline.run.result_cache import ResultCache, code_digest
from pipeline.run.serialisation import pack_fields, unpack_fields


@dataclass(frozen=True, eq=False)
class Layered:
    count: int
    planes: tuple[NDArray[np.float32], ...]
    cover: NDArray[np.int8]


def test_a_value_comes_back_from_a_file_with_its_arrays_in_their_order(tmp_path: Path) -> None:
    planes = tuple(np.full((2, 3), index, np.float32) for index in range(12))
    planes[11][0, 0] = np.nan
    value = Layered(count=7, planes=planes, cover=np.arange(6, dtype=np.int8).reshape(2, 3))
    cache = ResultCache(tmp_path)
    cache.store_arrays("value", pack_fields(value))
    packed = ResultCache(tmp_path).find_arrays("value")
    assert packed is not None
    back = unpack_fields(Layered, packed)
    assert back.count == 7 and back.cover.dtype == np.int8 and np.array_equal(back.cover, value.cover)
    assert [plane[1, 1] for plane in back.planes] == list(range(12)), "2 comes before 10"
    assert all(one.tobytes() == two.tobytes() for one, two in zip(planes, back.planes, strict=True))


def test_a_changed_reader_or_learned_number_gives_other_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(result_cache.PACKAGE, tmp_path / "pipeline", ignore=shutil.ignore_patterns("world", "__pycache__"))
    monkeypatch.setattr(result_cache, "PACKAGE", tmp_path / "pipeline")
    digests = {code_digest.__wrapped__()}
    for number, name in enumerate(
        ("catalogue/pixels.py", "ground/classes.json", "run/looks.py", "numerics/robust.py"), 2
    ):
        path = tmp_path / "pipeline" / name
        path.write_text(path.read_text() + "\n")
        digests.add(code_digest.__wrapped__())
        assert len(digests) == number, name
    (tmp_path / "pipeline" / "review" / "report.py").write_text("")
    assert code_digest.__wrapped__() in digests, "pages do not change what is computed"
