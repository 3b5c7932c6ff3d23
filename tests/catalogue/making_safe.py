"""A small .SAFE product of our own making: MTD files with the fields that count, and real JPEG 2000 bands."""

import zipfile
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

CRS = "EPSG:32652"
WEST, NORTH = 300000, 4400040
BANDS = {"L2A": {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B8A": 20, "B11": 20, "B12": 20, "SCL": 20},
         "L1C": {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B8A": 20, "B11": 20, "B12": 20}}  # fmt: skip
NAME = "S2B_MSI{level}_20240305T020641_N{digits}_R103_T52SCH_20240305T044521"


def tile(resolution: int, size_m: int = 2400) -> GeoBox:
    """The tile's upper left corner."""
    return GeoBox.from_bbox((WEST, NORTH - size_m, WEST + size_m, NORTH), CRS, resolution=resolution)


def dn(name: str, resolution: int, offset: int) -> np.ndarray:
    """The band's pixels: smooth, so that lossless JPEG 2000 is small; different for every band."""
    if name == "SCL":
        return np.full(tile(resolution).shape, 4, np.uint8)
    rows, cols = np.indices(tuple(tile(resolution).shape))
    return (200 + 20 * list(BANDS["L2A"]).index(name) + rows + 2 * cols + offset).astype(np.uint16)


def product_xml(level: str, baseline: str, offset: str, footprint: str) -> str:
    name = NAME.format(level=level, digits=baseline.replace(".", ""))
    kind, quantification = ("BOA", "BOA_QUANTIFICATION_VALUE") if level == "L2A" else ("RADIO", "QUANTIFICATION_VALUE")
    offsets = (
        "".join(f'<{kind}_ADD_OFFSET band_id="{i}">{offset}</{kind}_ADD_OFFSET>' for i in range(13)) if offset else ""
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level[1:]}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/made-up.xsd"><n1:General_Info>
<Product_Info><PRODUCT_START_TIME>2024-03-05T02:06:41.024Z</PRODUCT_START_TIME>
<PRODUCT_URI>{name}.SAFE</PRODUCT_URI><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<GENERATION_TIME>2024-03-05T04:45:21.000000Z</GENERATION_TIME>
<Datatake datatakeIdentifier="GS2B_20240305T020641_036537_N{baseline}"/></Product_Info>
<Product_Image_Characteristics><{quantification} unit="none">10000</{quantification}>{offsets}
</Product_Image_Characteristics></n1:General_Info>
<n1:Geometric_Info><EXT_POS_LIST>{footprint}</EXT_POS_LIST></n1:Geometric_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>12.5</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info>
</n1:Level-{level[1:]}_User_Product>"""


TILE_XML = f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/made-up.xsd"><n1:General_Info>
<DATASTRIP_ID>S2B_OPER_MSI_L2A_DS_2BPS_20240305T044521_S20240305T020903_N05.10</DATASTRIP_ID>
<SENSING_TIME>2024-03-05T02:10:44.512Z</SENSING_TIME></n1:General_Info><n1:Geometric_Info>
<HORIZONTAL_CS_CODE>{CRS}</HORIZONTAL_CS_CODE><Mean_Sun_Angle><ZENITH_ANGLE unit="deg">50.0</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">155.0</AZIMUTH_ANGLE></Mean_Sun_Angle></n1:Geometric_Info></n1:Tile_ID>"""


def make(folder: Path, level: str = "L2A", baseline: str = "05.10", offset: str = "-1000") -> Path:
    """Write a product into a folder; gives its .SAFE folder."""
    root = folder / f"{NAME.format(level=level, digits=baseline.replace('.', ''))}.SAFE"
    granule = root / "GRANULE" / f"{level}_T52SCH_A036537_20240305T020903"
    west, south, east, north = tile(10).extent.to_crs("EPSG:4326").boundingbox.bbox
    corners = [(north, west), (north, east), (south, east), (south, west), (north, west)]
    granule.mkdir(parents=True)
    text = product_xml(level, baseline, offset, " ".join(f"{lat} {lon}" for lat, lon in corners))
    (root / f"MTD_MSI{level}.xml").write_text(text)
    (granule / "MTD_TL.xml").write_text(TILE_XML)
    for name, native in BANDS[level].items():
        for resolution in (10, 20) if level == "L2A" and native == 10 else (native,):
            place = granule / "IMG_DATA" / (f"R{resolution}m" if level == "L2A" else "")
            place.mkdir(parents=True, exist_ok=True)
            end = f"{name}_{resolution}m" if level == "L2A" else name
            data, grid = dn(name, resolution, int(-float(offset or 0))), tile(resolution)
            with rasterio.open(
                place / f"T52SCH_20240305T020641_{end}.jp2", "w", driver="JP2OpenJPEG", height=data.shape[0],
                width=data.shape[1], count=1, dtype=data.dtype, crs=CRS, transform=grid.affine, QUALITY="100",
                REVERSIBLE="YES",
            ) as target:  # fmt: skip
                target.write(data, 1)
    return root


def zipped(root: Path) -> Path:
    """The product as a zip beside it."""
    path = root.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, f"{root.name}/{file.relative_to(root).as_posix()}")
    return path
