"""The sides of a pair: what their names, tags and metadata tell of the pixels."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipeline.catalogue.folders import find_pair_input, read_pair_input
from pipeline.model.bands import Band
from pipeline.model.errors import UsageError
from tests.catalogue import making_safe as making
from tests.catalogue.tiles import CRS, GRID, TILE10, ramp

BANDS = (Band.B02, Band.B03, Band.B04)


def write(path: Path, data: np.ndarray, scale: float = 1.0, offset: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", width=data.shape[1], height=data.shape[0], count=1,
                       dtype=data.dtype, crs=CRS, transform=TILE10.affine, nodata=0) as target:  # fmt: skip
        target.write(data, 1)
        target.scales, target.offsets = (scale,), (offset,)


def side(folder: Path, scale: float, offset: float, factor: float = 1.0) -> tuple[int | None, str, np.ndarray]:
    """Offset claimed, the reason, and the DN of band 4 of a folder with these tags."""
    data = (ramp(TILE10, 1) * factor + 1000).astype(np.uint16)
    for band in BANDS:
        write(folder / f"{band}.tif", data, scale, offset)
    found = find_pair_input(folder, "BEFORE")
    claim = found.scene.granules[0].declared_offset
    return claim.dn, claim.reason, read_pair_input(found, found.scene, GRID, BANDS).dn[Band.B04].data


def test_scale_and_offset_of_the_tags_are_applied(tmp_path: Path) -> None:
    _, _, plain = side(tmp_path / "2023-01-01" / "plain", 1.0, 0.0)
    dn, reason, tagged = side(tmp_path / "2023-01-01" / "tagged", 0.0001, -0.1)
    assert dn == 0 and "tags" in reason
    np.testing.assert_allclose(tagged, plain.astype(int) - 1000, atol=1)
    _, _, coarse = side(tmp_path / "2023-01-01" / "coarse", 0.0002, -0.2)
    np.testing.assert_allclose(coarse, 2 * (plain.astype(int) - 1000), atol=1)
    _, _, shifted = side(tmp_path / "2023-01-01" / "shifted", 1.0, -1000.0)
    np.testing.assert_allclose(shifted, plain.astype(int) - 1000, atol=1)


def test_bands_that_disagree_about_an_offset_are_refused(tmp_path: Path) -> None:
    side(tmp_path, 0.0001, -0.1)
    write(tmp_path / "B03.tif", ramp(TILE10, 1), 0.0001, 0.0)
    with pytest.raises(UsageError, match="states an offset and"):
        find_pair_input(tmp_path, "BEFORE")


@pytest.mark.parametrize(("name", "claim"), [("N0509", 1000), ("N0301", 0), ("N9999", None)])
@pytest.mark.parametrize("day", ["20240305", "20190305"])
def test_a_baseline_that_a_user_gave_tells_nothing(tmp_path: Path, name: str, claim: int | None, day: str) -> None:
    folder = tmp_path / f"S2B_MSIL2A_{day}T020641_{name}_R103_T52SCH_{day}T044521"
    dn, _, _ = side(folder, 1.0, 0.0)
    assert dn == claim


def test_a_product_is_believed_before_its_name(tmp_path: Path) -> None:
    root = making.make(tmp_path, baseline="99.99", offset="-1000")
    assert "N9999" in root.name
    assert find_pair_input(root, "BEFORE").scene.granules[0].declared_offset.dn == 1000


def test_hidden_files_are_no_bands(tmp_path: Path) -> None:
    side(tmp_path, 1.0, 0.0)
    for name in ("._B04.tif", ".#B04.tif", "__MACOSX/B04.tif", ".thumbs/B04.tif", "@eaDir/B04.tif", "~B04.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    assert find_pair_input(tmp_path, "BEFORE").files[Band.B04].path == tmp_path / "B04.tif"
