"""report.html of a site and index.html over all: self-contained pages, no library, every text escaped."""

import base64
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.model.alert import Alert, Decision, Kind, Status
from pipeline.model.bands import VISIBLE
from pipeline.model.imagery import Look, SceneRecord
from pipeline.model.site import Site
from pipeline.review.folder import Folder, replacing

ATTRIBUTION = "Contains modified Copernicus Sentinel data."
_PAGES = Environment(
    loader=PackageLoader("pipeline.review", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def words(alert: Alert) -> str:
    """An alert as a sentence, the way the trade writes it: what, how big, both ends of the bracket, how sure."""
    size = f"{_rounded(alert.area_m2):,} m²"
    since = f"not there on {alert.last_clear_before}, " if alert.last_clear_before else ""
    sure = f"confirmed {alert.confirmed_at} by" if alert.confirmed_at else "not yet confirmed, seen in"
    tenth = f"about {round(alert.confidence * 10)} in 10 such alerts are right"
    return (
        f"{alert.kind.value.capitalize()} of about {size}: {since}there on {alert.first_seen}, {sure} "
        f"{alert.looks_seen} of {alert.looks_clear} clear looks; {tenth}"
    )


def write_report(
    folder: Folder, site: Site, decision: Decision, looks: Sequence[Look], records: Sequence[SceneRecord], version: str
) -> None:
    """The page of one site, from the pictures that lie in its folder already."""
    by_id = {look.scene.id: look for look in looks}
    before, after = by_id[decision.before_scene], by_id[decision.after_scene]
    shown = [alert for alert in decision.alerts if alert.status is not Status.WITHDRAWN]
    stretch = _stretch(before, after)
    style, script = _source("report.css"), _source("report.js")
    page = _PAGES.get_template("report.html.j2").render(
        site=site,
        decision=decision,
        sentence=sentence(decision, records),
        simulated=site.properties.get("simulated", ""),
        cautions=decision.cautions,
        alerts=shown,
        pictures=[(a, _data(folder.timeline(a.id).read_bytes())) for a in shown if folder.timeline(a.id).exists()],
        before=_data(_picture(before, shown, stretch)),
        after=_data(_picture(after, shown, stretch)),
        before_label=f"{before.time:%Y-%m-%d}",
        after_label=f"{after.time:%Y-%m-%d}",
        used=[record for record in records if record.used],
        rejected=[record for record in records if not record.used],
        words=words,
        number=lambda value: "" if value is None else f"{value:.3g}",
        version=version,
        attribution=site.properties.get("attribution", ATTRIBUTION),
        # nothing in the page is secret: the nonce only has to be one that a text from outside cannot know before
        nonce=hashlib.sha256(f"{site.id}{decision.settings_digest}{len(records)}".encode()).hexdigest()[:24],
        style=style,
        script=script,
    )
    with replacing(folder.report) as beside:
        beside.write_text(page, encoding="utf-8")


def sentence(decision: Decision, records: Sequence[SceneRecord]) -> str:
    """What the evening brought, in one sentence."""
    live = [a for a in decision.alerts if a.status in (Status.PROVISIONAL, Status.CONFIRMED)]
    new = [a for a in live if a.kind is Kind.NEW_STRUCTURE]
    used = [record for record in records if record.used]
    span = f"{used[0].time:%Y-%m-%d} to {used[-1].time:%Y-%m-%d}" if used else "no period"
    what = "No change stands open" if not live else f"{len(live)} open changes, {len(new)} of them new structures"
    return f"{what}. Judged on {len(used)} clear looks from {span}."


def write_index(out: Path, rows: Sequence[dict[str, Any]]) -> None:
    """out/index.html: every site with its newest alert first. rows: id, name, newest, open, note."""
    ordered = sorted(rows, key=lambda row: (row["newest"], row["id"]), reverse=True)
    page = _PAGES.get_template("index.html.j2").render(
        rows=ordered, style=_source("report.css"), nonce=hashlib.sha256(b"index").hexdigest()[:24]
    )
    with replacing(out / "index.html") as beside:
        beside.write_text(page, encoding="utf-8")


def _source(name: str) -> Markup:
    """A part of the page that is ours and therefore not escaped."""
    loader = _PAGES.loader
    if loader is None:
        raise LookupError(name)
    return Markup(loader.get_source(_PAGES, name)[0])


def _stretch(*looks: Look) -> tuple[float, float]:
    """One stretch for both pictures, else unchanged ground would differ."""
    bands = [band for band in VISIBLE if band in looks[0].bands]
    values = np.concatenate([look.reflectance[look.bands.index(b)][look.usable] for look in looks for b in bands])
    if values.size == 0:
        return 0.0, 0.3
    low, high = np.percentile(values, (1, 99.5))
    return float(low), float(max(high, low + 0.02))


def _picture(look: Look, alerts: Sequence[Alert], stretch: tuple[float, float]) -> bytes:
    low, high = stretch
    bands = [band for band in VISIBLE if band in look.bands]
    planes = np.stack([look.reflectance[look.bands.index(band)] for band in bands], axis=-1)
    shown = np.nan_to_num(np.clip((planes - low) / (high - low), 0, 1), nan=0.5) ** 0.8
    rows, cols = shown.shape[:2]
    figure = Figure(figsize=(8, 8 * rows / cols))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.imshow(shown, interpolation="nearest", aspect="auto")
    inverse = ~look.grid.affine
    for alert in alerts:
        for part in getattr(alert.outline, "geoms", [alert.outline]):
            x, y = np.asarray(part.exterior.coords).T[:2]
            axis.plot(inverse.a * x + inverse.c - 0.5, inverse.e * y + inverse.f - 0.5, color="#ffd92f", linewidth=1.1)
    axis.set_xlim(-0.5, cols - 0.5)
    axis.set_ylim(rows - 0.5, -0.5)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": "groundbreak"})
    return buffer.getvalue()


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _rounded(area: float) -> int:
    """Two significant figures: the outline does not carry more."""
    step = 10 ** max(len(str(int(area))) - 2, 0)
    return int(round(area / step) * step)
