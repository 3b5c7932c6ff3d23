"""Probability of detection by size of building and scatter of the looks: the default of reports.

python -m benchmarks.size_curve     writes pipeline/review/world/detection.json

A site whose `groundbreak sensitivity` was not run has the curve of the noise level next above its own. The injected
buildings and the judgement are those of that command; the looks are those of the embedded archive, 2018 to 2020, with
white noise added to all pixels before correction.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pipeline.cli.site_selection import choose_sites
from pipeline.evaluation.sensitivity import SIZES, WITHIN, Trial, run_round, share_within
from pipeline.model.imagery import Chip
from pipeline.review.detection_default import TARGET, noise_of
from pipeline.run.looks import correct_chips
from pipeline.run.process_site import SiteJob, find_scenes, read_all, with_scenes
from pipeline.run.selection import site_job

AOIS = Path(__file__).parents[1] / "aois" / "demo.geojson"
SITE, START = "southern-carpathians", "2018-01-01"
ADDED_DN = (0.0, 100.0, 250.0)
"""Standard deviations of the added noise; 100 DN are 0.01 of reflectance."""
ROUNDS = 1
"""Times the AOI is filled with buildings at each level."""


def main() -> str:
    """A markdown section; writes the curves beside the report's other data."""
    asked = choose_sites([SITE], [AOIS])
    wanted = with_scenes(site_job(asked.sites[0], asked.settings, catalog=None, start=START, end=None, out=Path("out")))
    read, _, _ = read_all(wanted, find_scenes(wanted).scenes, lambda *_: None)
    levels = [measured(wanted, read, sigma) for sigma in ADDED_DN]
    record = {
        "site": wanted.site.name, "first": START, "rounds": ROUNDS, "software": version("groundbreak"),
        "within": WITHIN, "levels": levels,
    }  # fmt: skip
    TARGET.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    lines = [
        "## Detection by size and noise: the default of reports",
        "",
        f"`python -m benchmarks.size_curve`; looks of the embedded archive from {START}, rounds of buildings a",
        f"level: {ROUNDS}; share confirmed within {WITHIN[1]} clear looks, with the 95 % interval.",
        "",
        f"| scatter of the looks | {' | '.join(SIZES)} |",
        f"|---|{'---|' * len(SIZES)}",
    ]  # fmt: skip
    for level in levels:
        shares = [level["rows"][size][1] for size in SIZES]
        cells = ["-" if each[0] is None else f"{each[0]:.0%} ({each[1]:.0%} to {each[2]:.0%})" for each in shares]
        lines.append(f"| {level['noise']:.4f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measured(wanted: SiteJob, read: Sequence[tuple[Chip, ...]], sigma_dn: float) -> dict[str, object]:
    """The curve at one level of noise."""
    site, settings = wanted.site, wanted.settings
    rng = np.random.default_rng([17, int(sigma_dn)])
    noisy = [tuple(_noisier(chip, sigma_dn, rng) for chip in chips) for chips in read]
    looks, _ = correct_chips(site, noisy, settings, lambda *_: None)
    trials: list[Trial] = []
    for number in range(ROUNDS):
        trials += run_round(site, noisy, looks, settings, np.random.default_rng([23, number]))
    rows = {}
    for size in SIZES:
        shares = [share_within([trial for trial in trials if trial.size == size], count) for count in WITHIN]
        rows[size] = [
            [round(value, 3) if np.isfinite(value) else None for value in (s.value, *s.interval)] for s in shares
        ]
    return {"noise": round(noise_of(looks), 5), "looks": len(looks), "trials": len(trials), "rows": rows}


def _noisier(chip: Chip, sigma_dn: float, rng: np.random.Generator) -> Chip:
    """White noise on every pixel that has data."""
    if not sigma_dn:
        return chip
    bands = {}
    for band, raster in chip.dn.items():
        values = raster.data + rng.normal(0.0, sigma_dn, raster.data.shape)
        data = np.where(raster.data == 0, 0, np.clip(np.round(values), 1, 65535)).astype(np.uint16)
        bands[band] = replace(raster, data=data)
    return replace(chip, dn=bands)


if __name__ == "__main__":
    print(main())
