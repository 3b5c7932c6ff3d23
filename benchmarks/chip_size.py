"""Registration, R3: error against the size of the chip, from 32 to 512 px, and what the margin of a small AOI is worth.

python -m benchmarks.chip_size      needs the recorded city pairs beside the checkout; writes plots/chip_size.png

Real two-date city pairs on their 10 m grid, the later date moved by an exact random shift; the error is what the shift
of the moved chip adds to that of the unmoved one.
"""

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from benchmarks.registration import pairs
from pipeline.correct.alignment import estimate_shift

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SIZES = ((32, 32), (48, 48), (64, 64), (74, 122), (96, 96), (128, 128), (192, 192), (256, 256), (384, 384), (512, 512))
DRAWS, PAD, REACH_PX, NOISE_DN = 4, 24, 2.0, 15.0
LIMIT_PX, SMALL = 0.03, 74 * 122
PLOT = Path(__file__).parent / "plots" / "chip_size.png"


def main() -> str:
    """A markdown section; draws the plot beside it."""
    images = pairs()
    rows, lines = [], [
        "## Registration, R3: error against chip size",
        "",
        f"`python -m benchmarks.chip_size`; {len(images)} real two-date pairs, {DRAWS} chips and shifts of up to",
        f"{REACH_PX:.0f} px each where the chip fits, noise of {NOISE_DN:.0f} DN. Goal: 74 x 122 px and smaller worst",
        f"{LIMIT_PX} px, or refused.",
        "",
        "| chip px | cases | accepted | RMSE px | worst px |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for size in SIZES:
        errors, tried = measured(images, size)
        rms, worst = (float(np.sqrt((errors**2).mean())), float(errors.max())) if len(errors) else (np.nan, np.nan)
        rows.append((np.sqrt(size[0] * size[1]), rms, worst, len(errors) / max(tried, 1)))
        missed = " (missed)" if size[0] * size[1] <= SMALL and worst > LIMIT_PX else ""
        shown = f"{rms:.4f} | {worst:.4f}{missed}" if len(errors) else "- | -"
        lines.append(f"| {size[0]} x {size[1]} | {tried} | {len(errors)} | {shown} |")
    _drawn(np.array(rows))
    lines += [
        "",
        "A 300 m AOI is 30 px across; a margin of 320 m a side makes it 94 px, and a site grid has 256 px at least.",
        "",
        "![error against chip size](plots/chip_size.png)",
    ]
    return "\n".join(lines)


def measured(
    images: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]], size: tuple[int, int]
) -> tuple[NDArray[np.float64], int]:
    """(largest error in row or column of each accepted case, cases)."""
    rng = np.random.default_rng(3)
    errors, tried = [], 0
    for before, after in images.values():
        room = [side - wanted - 2 * PAD for side, wanted in zip(before.shape, size, strict=True)]
        if min(room) < 0:
            continue
        for _ in range(DRAWS):
            row, col = (int(rng.integers(0, spare + 1)) for spare in room)
            shift = rng.uniform(-REACH_PX, REACH_PX, 2)
            cut = (slice(row, row + size[0] + 2 * PAD), slice(col, col + size[1] + 2 * PAD))
            inner = (slice(PAD, PAD + size[0]), slice(PAD, PAD + size[1]))
            wide = np.pad(after[cut], 32, mode="symmetric")
            moved = fft.ifft2(ndimage.fourier_shift(fft.fft2(wide), shift)).real[32:-32, 32:-32][inner]
            target = (moved + rng.normal(0, NOISE_DN, size)).astype(np.float32)
            everything = np.ones(size, bool)
            plain = estimate_shift(before[cut][inner], after[cut][inner], everything)
            found = estimate_shift(before[cut][inner], target, everything)
            tried += 1
            if found.accepted:
                errors.append(float(np.abs(np.array(found.shift) - plain.shift - shift).max()))
    return np.array(errors), tried


def _drawn(rows: NDArray[np.float64]) -> None:
    figure, (error, share) = plt.subplots(2, 1, figsize=(6, 5), sharex=True, height_ratios=(2, 1), layout="constrained")
    error.loglog(rows[:, 0], rows[:, 1], "o-", label="RMSE")
    error.loglog(rows[:, 0], rows[:, 2], "s--", label="worst accepted")
    error.axhline(LIMIT_PX, color="grey", linewidth=1, label=f"{LIMIT_PX} px")
    error.set_ylabel("error, px")
    error.legend()
    share.plot(rows[:, 0], rows[:, 3], "o-")
    share.set(ylim=(0, 1.05), xlabel="side of the chip (root of its area), px", ylabel="accepted")
    labels = ["" if size == (74, 122) else f"{side:.0f}" for size, side in zip(SIZES, rows[:, 0], strict=True)]
    share.set_xticks(rows[:, 0], labels)
    share.minorticks_off()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    print(main())
