"""Real series in which nothing was built: what `detect` confirms there is false, but for fields really worked.

python -m benchmarks.real_series      needs the recorded series beside the checkout
"""

import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely.geometry import box

from pipeline.model.alert import Status
from pipeline.model.bands import Band
from pipeline.model.errors import GroundbreakError
from pipeline.model.grid import site_grid
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.model.site import Site
from pipeline.run.process_site import SiteJob, SiteResult, process_site
from pipeline.study.catalogue_writer import write_catalogue, write_item

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SERIES = {
    "iberia_series/site_a": ("B02", "B03", "B04", "B8A", ""),
    "iberia_series/site_b": ("B02", "B03", "B04", "B8A", ""),
    "iberia_series/site_c": ("B02", "B03", "B04", "B8A", ""),
    "belgium_series/doel": ("B02", "B03", "B04", "B08", "scl"),
    "belgium_series/mol": ("B01", "B04", "B08", "B11", "scl", ""),
    "apulia_series/field_0": ("B02", "B03", "B04"),
    "apulia_series/field_5": ("B02", "B03", "B04"),
}
"""Bands of the files, in their order; "" is left out."""
EDGE = 0.06
"""Of the side, at each edge, that is no AOI."""
CONFIRMED = (Status.CONFIRMED, Status.FINISHED)


def main() -> str:
    """A markdown section."""
    if not DATA.is_dir():
        raise FileNotFoundError("the recorded series are not beside this checkout")
    lines = [
        "## Real series in which nothing was built",
        "",
        "`benchmarks/real_series.py`: each series as a static catalogue, `detect` with settings as shipped.",
        "",
        "| series | looks used | refused | confirmed | of these new structure | provisional | km2 years |",
        "|---|---|---|---|---|---|---|",
    ]
    total, structures, exposure = 0, 0, 0.0
    for name, bands in SERIES.items():
        with tempfile.TemporaryDirectory() as scratch:
            site = catalogue(DATA / name, bands, Path(scratch))
            try:
                found = process_site(job(site), no_progress)
            except GroundbreakError as error:
                lines.append(f"| {name} | - | {error.what} | - | - | - | - |")
                continue
        row, confirmed, built, years = _row(name, site, found)
        lines.append(row)
        total, structures, exposure = total + confirmed, structures + built, exposure + years
    rate = 100 * total / exposure if exposure else float("nan")
    end = (
        f"{total} confirmed ({structures} new structure) in {exposure:.1f} km2 years: {rate:.0f} per 100 km2 and year."
    )
    return "\n".join([*lines, "", end])


def _row(name: str, site: Site, found: SiteResult) -> tuple[str, int, int, float]:
    area = Geometry(site.aoi, "EPSG:4326").to_crs(str(site.grid.crs)).geom.area / 1e6
    years = area * (found.looks[-1].time - found.looks[0].time).days / 365.25
    confirmed = [alert for alert in found.decision.alerts if alert.status in CONFIRMED]
    built = sum(alert.kind.value == "new structure" for alert in confirmed)
    waiting = sum(alert.status is Status.PROVISIONAL for alert in found.decision.alerts)
    used = sum(record.used for record in found.records)
    why = Counter(record.reason for record in found.records if not record.used)
    refused = ", ".join(f"{count} {reason}" for reason, count in why.most_common()) or "none"
    return (
        f"| {name} | {used} | {refused} | {len(confirmed)} | {built} | {waiting} | {years:.2f} |",
        len(confirmed), built, years,
    )  # fmt: skip


def job(site: Site) -> SiteJob:
    until = datetime(2030, 1, 1, tzinfo=UTC)
    return SiteJob(site=site, source=str(site.catalog), collection=None, start=None, until=until, settings=Settings())


def catalogue(folder: Path, bands: tuple[str, ...], out: Path) -> Site:
    """A recorded series as a static catalogue in `out`, and its site."""
    items, grid = [], None
    for path in sorted(folder.glob("*.tif")):
        day = re.search(r"(\d{4})-(\d\d)-(\d\d)", path.name)
        if day is None:
            continue
        time = datetime(*(int(part) for part in day.groups()), 10, 50, tzinfo=UTC)
        with rasterio.open(path) as source:
            grid = GeoBox(source.shape, source.transform, str(source.crs))
            assets = _assets(source.read(), bands, grid)
        items.append(write_item(out, f"look-{time:%Y%m%d}", time, assets, {"s2:product_type": "S2MSI2A"}))
    if grid is None:
        raise FileNotFoundError(f"no dated file in {folder.name}")
    root = write_catalogue(out, "series", folder.name, "made for a benchmark", items)
    left, bottom, right, top = grid.boundingbox.bbox
    dx, dy = EDGE * (right - left), EDGE * (top - bottom)
    inner = Geometry(box(left + dx, bottom + dy, right - dx, top - dy), str(grid.crs)).to_crs("EPSG:4326").geom
    return Site(id=folder.name.replace("_", "-"), name=folder.name, aoi=inner, grid=site_grid(inner), catalog=str(root))


def _assets(stack: Any, bands: tuple[str, ...], grid: GeoBox) -> Mapping[str, Any]:
    assets: dict[str, Any] = {}
    for name, plane in zip(bands, stack, strict=False):
        if name == "scl":
            assets["scl"] = (plane.astype(np.uint8), grid)
        elif name:
            assets[Band(name).role] = (plane.astype(np.uint16), grid)
    return assets


if __name__ == "__main__":
    print(main())
