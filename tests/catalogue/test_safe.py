import re
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import box

from pipeline.catalogue.pixels import read_chips
from pipeline.catalogue.safe import read_safe
from pipeline.catalogue.scenes import read_named_scenes, search_scenes
from pipeline.model.bands import Band
from pipeline.model.errors import CatalogueError
from pipeline.model.grid import MARGIN_M, site_grid
from pipeline.model.imagery import Level
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from tests.catalogue import making_safe as making

END = datetime(2030, 1, 1, tzinfo=UTC)
outline = making.tile(10).extent.to_crs("EPSG:4326").geom.centroid.buffer(0.003)
AOI = box(*outline.bounds)
SITE = Site(id="here", name="Here", aoi=AOI, grid=site_grid(AOI, MARGIN_M))


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return making.make(tmp_path_factory.mktemp("products"))


@pytest.mark.parametrize("form", ["folder", "zip", "folder of products"])
def test_a_product_is_found_and_read_in_every_form(safe: Path, tmp_path: Path, form: str) -> None:
    source = {"folder": safe, "folder of products": safe.parent}.get(form) or making.zipped(
        Path(shutil.copytree(safe, tmp_path / safe.name))
    )
    found = search_scenes(SITE, str(source), None, None, END, Settings())
    (scene,) = found.scenes
    assert scene.id == "S2B_20240305T020641" and scene.sun == (50.0, 155.0) and scene.relative_orbit == 103
    assert scene.granules[0].declared_offset.dn == 1000 and scene.cloud_percent == 12.5
    (chip,) = read_chips(scene, SITE.grid, (Band.B04, Band.B8A))
    for band, resolution in ((Band.B04, 10), (Band.B8A, 20)):
        raster = chip.dn[band]
        assert raster.grid.resolution.x == resolution
        col, row = (
            round(each) for each in ~making.tile(resolution).affine * (raster.grid.affine.c, raster.grid.affine.f)
        )
        rows, cols = raster.data.shape
        whole = making.dn(band.value, resolution, 1000)
        np.testing.assert_array_equal(raster.data, whole[row : row + rows, col : col + cols])
    assert chip.scl is not None and (chip.scl.data == 4).all()


def test_a_named_product_is_the_same_scene_as_the_searched_one(safe: Path) -> None:
    (searched,) = search_scenes(SITE, str(safe.parent), None, None, END, Settings()).scenes
    assert read_named_scenes(SITE, [str(safe)], Settings()) == (searched,)


@pytest.mark.parametrize(
    ("level", "baseline", "offset", "claim"),
    [
        ("L2A", "05.10", "-1000", 1000), ("L1C", "04.00", "-1000", 1000), ("L2A", "02.12", "", 0),
        ("L1C", "03.01", "", 0), ("L2A", "05.10", "", None), ("L2A", "05.10", "-500", None), ("L2A", "05.10", "0", 0),
    ],
)  # fmt: skip
def test_the_offset_is_what_the_product_states(
    tmp_path: Path, level: str, baseline: str, offset: str, claim: int | None
) -> None:
    product = read_safe(making.make(tmp_path, level, baseline, offset))
    assert product.granule.declared_offset.dn == claim and product.level is Level(level)
    assert (product.granule.scl is None) == (level == "L1C")


def test_metadata_names_in_lower_case_and_missing_ten_metre_copies_are_survived(tmp_path: Path) -> None:
    root = making.make(tmp_path)
    (root / "MTD_MSIL2A.xml").rename(root / "MTD_MSIL2a.xml")
    for path in root.rglob("*B04_10m.jp2"):
        path.unlink()
    assert read_safe(root).granule.assets[Band.B04].endswith("B04_20m.jp2")


def broken(root: Path, fault: str) -> Path:
    top, (tile,) = root / "MTD_MSIL2A.xml", list(root.rglob("MTD_TL.xml"))
    if fault == "no product xml":
        top.unlink()
    elif fault == "no tile xml":
        tile.unlink()
    elif fault == "no bands":
        shutil.rmtree(tile.parent / "IMG_DATA")
    elif fault == "half an xml":
        top.write_text(top.read_text()[:400])
    elif fault == "entities":
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
        top.write_text(top.read_text().replace("?>\n", f"?>\n{bomb}").replace("05.10</PRO", "&b;</PRO"))
    elif fault == "no footprint":
        top.write_text(top.read_text().replace("EXT_POS_LIST", "OTHER"))
    elif fault == "odd footprint":
        top.write_text(top.read_text().replace("<EXT_POS_LIST>", "<EXT_POS_LIST>north "))
    elif fault == "quantification":
        top.write_text(top.read_text().replace(">10000<", ">1000<"))
    return root


FAULTS = {
    "no product xml": "0 product and 1 tile metadata", "no tile xml": "1 product and 0 tile", "no bands": "no band",
    "half an xml": "ParseError", "entities": "EntitiesForbidden|DTDForbidden", "no footprint": "no EXT_POS_LIST",
    "odd footprint": "cannot be understood", "quantification": "quantification value 1000",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_product_is_one_line_and_takes_no_other_with_it(safe: Path, tmp_path: Path, fault: str) -> None:
    root = broken(Path(shutil.copytree(safe, tmp_path / safe.name)), fault)
    with pytest.raises(CatalogueError, match=FAULTS[fault]):
        read_safe(root)
    shutil.copytree(safe, tmp_path / "good.SAFE")
    found = search_scenes(SITE, str(tmp_path), None, None, END, Settings())
    assert len(found.scenes) == 1 and len(found.errors) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x00" * 100])
def test_a_zip_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(CatalogueError, match="product cannot be read"):
        read_safe(tmp_path / "x.zip")


def test_a_zip_whose_bytes_are_torn_is_one_line(safe: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(each for each in safe.rglob("*") if each.suffix == ".xml"):
            archive.write(file, f"{safe.name}/{file.relative_to(safe).as_posix()}")
        begins = archive.infolist()[0].header_offset + 30 + len(archive.infolist()[0].filename)
    torn = bytearray(path.read_bytes())
    torn[begins : begins + 40] = b"\xff" * 40
    path.write_bytes(torn)
    with pytest.raises(CatalogueError, match="cannot be read"):
        read_safe(path)


def test_a_zip_bomb_is_not_unpacked(safe: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.SAFE/MTD_MSIL2A.xml", "w") as member:
            for _ in range(70):
                member.write(b" " * 1_000_000)
        archive.writestr("x.SAFE/GRANULE/g/MTD_TL.xml", making.TILE_XML)
    assert path.stat().st_size < 200_000
    with pytest.raises(CatalogueError, match="larger than 64 MB"):
        read_safe(path)


def test_recorded_metadata_are_read(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.catalogue.safe._find_images", lambda files, where: ({}, None))
    products = {path.name[:3] + path.name[11:19] + path.name[27:32]: read_safe(path)
                for path in sorted((shared / "stac_items" / "safe").glob("*.SAFE"))}  # fmt: skip
    claims = {name: product.granule.declared_offset.dn for name, product in products.items()}
    assert claims == {"S2A20190212N0212": 0, "S2A20210908N0301": 0, "S2A20230625N0509": 1000, "S2B20220413N0400": 1000}
    assert products["S2A20190212N0212"].granule.footprint.area < 0.1


def old_sen2cor(root: Path) -> Path:
    """The same product as Sen2Cor up to 2.5.5 wrote it."""
    top, (tile,) = root / "MTD_MSIL2A.xml", list(root.rglob("MTD_TL.xml"))
    text = top.read_text()
    uri = text[text.index("<PRODUCT_URI>") + 13 : text.index("</PRODUCT_URI>")]
    source = uri.replace("L2A", "L1C")
    text = text.replace(f"<PRODUCT_URI>{uri}</PRODUCT_URI>", f"<PRODUCT_URI_1C>{source}</PRODUCT_URI_1C>"
                        f"<PRODUCT_URI_2A>{uri}</PRODUCT_URI_2A>")  # fmt: skip
    for name in ("Product_Info", "Product_Image_Characteristics"):
        text = text.replace(f"<{name}>", f"<L2A_{name}>").replace(f"</{name}>", f"</L2A_{name}>")
    wanted = "<L1C_L2A_Quantification_Values_List><L1C_TOA_QUANTIFICATION_VALUE unit='none'>10000"
    wanted += "</L1C_TOA_QUANTIFICATION_VALUE><L2A_BOA_QUANTIFICATION_VALUE unit='none'>10000"
    wanted += "</L2A_BOA_QUANTIFICATION_VALUE></L1C_L2A_Quantification_Values_List>"
    old = '<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
    assert old in text and "PRODUCT_URI_2A" in text
    top.write_text(text.replace(old, wanted))
    tile.write_text(tile.read_text().replace("DATASTRIP_ID>", "DATASTRIP_ID_2A>"))
    for image in list(root.rglob("*.jp2")):
        image.rename(image.with_name(f"L2A_{image.name}"))
    return root


def test_a_product_of_2017_is_read(tmp_path: Path) -> None:
    product = read_safe(old_sen2cor(making.make(tmp_path, baseline="02.05", offset="")))
    granule = product.granule
    assert product.level is Level.L2A and granule.baseline == "02.05" and granule.declared_offset.dn == 0
    assert granule.id.startswith("S2B_MSIL2A_") and product.strip == "20240305T020903"
    assert granule.assets[Band.B04].endswith("L2A_T52SCH_20240305T020641_B04_10m.jp2")
    assert str(granule.scl).endswith("_SCL_20m.jp2")
    (chip,) = read_chips(
        search_scenes(SITE, str(tmp_path), None, None, END, Settings()).scenes[0], SITE.grid, (Band.B04,)
    )
    assert (chip.dn[Band.B04].data > 0).any()


def test_another_scale_of_an_old_product_is_refused_too(tmp_path: Path) -> None:
    root = old_sen2cor(making.make(tmp_path, baseline="02.05", offset=""))
    top = root / "MTD_MSIL2A.xml"
    top.write_text(top.read_text().replace(">10000</L2A_BOA", ">2000</L2A_BOA"))
    with pytest.raises(CatalogueError, match="quantification value 2000"):
        read_safe(root)


LAYOUTS = (
    "{title}",
    "{title}/{title}.SAFE",
    "{title}.SAFE/{title}.SAFE",
    "S2/2024/03/{title}.SAFE",
    "download-7/{title}",
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("named", ["the folder of all", "the outermost", "the product"])
def test_a_product_is_found_however_a_downloader_put_it(safe: Path, tmp_path: Path, layout: str, named: str) -> None:
    place = tmp_path / "all" / layout.format(title=safe.stem)
    shutil.copytree(safe, place)
    source = {"the folder of all": tmp_path / "all", "the product": place,
              "the outermost": next((tmp_path / "all").iterdir())}[named]  # fmt: skip
    for name in (".DS_Store", "._x.SAFE", "__MACOSX"):
        (tmp_path / "all" / name).mkdir(exist_ok=True)
    found = search_scenes(SITE, str(source), None, None, END, Settings())
    assert len(found.scenes) == 1 and not found.errors
    assert read_named_scenes(SITE, [str(source)], Settings()) == found.scenes


def test_a_zip_from_a_mac_is_read_and_one_with_two_products_is_refused(safe: Path, tmp_path: Path) -> None:
    path = making.zipped(Path(shutil.copytree(safe, tmp_path / safe.name)))
    shutil.rmtree(tmp_path / safe.name)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"__MACOSX/{safe.name}/MTD_MSIL2A.xml", b"\x00\x05\x16\x07")
        archive.writestr(f"__MACOSX/{safe.name}/._MTD_MSIL2A.xml", b"\x00\x05\x16\x07")
    assert read_safe(path).granule.assets
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.SAFE/MTD_MSIL2A.xml", b"<x/>")
    with pytest.raises(CatalogueError, match="2 products in one zip"):
        read_safe(path)


@pytest.mark.parametrize("field", ["Cloud_Coverage_Assessment", "GENERATION_TIME", "PRODUCT_START_TIME", "SENSING_TIME",
                                   "ZENITH_ANGLE", "DATASTRIP_ID", "PROCESSING_BASELINE"])  # fmt: skip
@pytest.mark.parametrize("value", ["NaN", "n/a", ""])
def test_optional_metadata_of_a_product_that_are_nonsense_refuse_nothing(
    tmp_path: Path, field: str, value: str
) -> None:
    root = making.make(tmp_path)
    for file in (root / "MTD_MSIL2A.xml", next(iter(root.rglob("MTD_TL.xml")))):
        file.write_text(re.sub(rf"(<{field}[^>]*>)[^<]*<", rf"\g<1>{value}<", file.read_text()))
    assert read_safe(root).granule.assets
