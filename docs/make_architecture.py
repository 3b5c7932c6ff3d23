"""Draws docs/architecture.svg: the files that one scene passes, in their layers. Arrows are the imports between them.

python docs/make_architecture.py
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURE = ROOT / "docs" / "architecture.svg"
WIDTH, HEIGHT = 980, 728
BOX = (176, 42)
LAYERS: tuple[tuple[str, int, int], ...] = (
    ("cli", 16, 60),
    ("evaluation", 86, 34),
    ("run | study", 130, 190),
    ("notify", 330, 34),
    ("catalogue | review", 374, 62),
    ("formats", 446, 34),
    ("decide | pair (pure)", 490, 62),
    ("correct | ground (pure)", 562, 62),
    ("model | numerics (pure)", 634, 62),
)
"""Layers from top to bottom: name, top and height of the band in the figure."""
FILES: dict[str, tuple[int, int, str]] = {
    "cli/detect.py": (790, 46, ""),
    "run/detect.py": (790, 160, ""),
    "run/process_site.py": (445, 220, ""),
    "run/looks.py": (545, 288, ""),
    "run/incremental.py": (735, 288, ""),
    "catalogue/scenes.py": (250, 405, ""),
    "catalogue/pixels.py": (445, 405, "1. read"),
    "review/publish.py": (878, 405, "4. publish"),
    "decide/alerts.py": (735, 521, "3. decide"),
    "correct/look.py": (545, 593, "2. correct"),
}
"""File -> centre of its box, and the stage that it is."""


def imports(name: str) -> set[str]:
    """The files of the figure that a file imports."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / "pipeline" / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipeline."):
            found.add("/".join(node.module.split(".")[1:]) + ".py")
    return found & set(FILES)


def arrows() -> list[tuple[str, str]]:
    """Importing and imported file of each arrow."""
    return [(name, other) for name in FILES for other in sorted(imports(name))]


def _ends(start: tuple[int, int], end: tuple[int, int]) -> tuple[float, float, float, float]:
    """A line from border to border of two boxes."""
    (x0, y0), (x1, y1) = start, end
    if y0 == y1:
        side = BOX[0] / 2 * (1 if x1 > x0 else -1)
        return x0 + side, y0, x1 - side, y1
    lean = max(-60, min(60, (x1 - x0) * 0.25))
    return x0 + lean, y0 + BOX[1] / 2, x1 - lean, y1 - BOX[1] / 2 - 3


def draw() -> str:
    """The figure as SVG text."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="14">',
        "<title>One scene through the layers</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#455a64"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for name, top, height in LAYERS:
        out.append(f'<rect x="10" y="{top}" width="{WIDTH - 20}" height="{height}" rx="6" fill="#eceff1"/>')
        out.append(f'<text x="22" y="{top + 21}" fill="#37474f">{name}</text>')
    for name, other in arrows():
        x0, y0, x1, y1 = _ends(FILES[name][:2], FILES[other][:2])
        out.append(
            f'<line x1="{x0:.0f}" y1="{y0:.0f}" x2="{x1:.0f}" y2="{y1:.0f}" stroke="#455a64" stroke-width="1.4" '
            'marker-end="url(#head)"/>'
        )
    for name, (x, y, stage) in FILES.items():
        fill = "#b2dfdb" if stage else "#ffffff"
        out.append(
            f'<rect x="{x - BOX[0] // 2}" y="{y - BOX[1] // 2}" width="{BOX[0]}" height="{BOX[1]}" rx="4" '
            f'fill="{fill}" stroke="#00796b"/>'
        )
        lines = [stage, name] if stage else [name]
        for number, line in enumerate(lines):
            line_y = y + 5 + 16 * number - 8 * (len(lines) - 1)
            out.append(f'<text x="{x}" y="{line_y}" text-anchor="middle" fill="#212121">{line}</text>')
    nouns = "Site, Scene, Chip, Look, Rejection, Alert, Decision: frozen values, imported by every layer"
    out.append(f'<text x="540" y="671" text-anchor="middle" fill="#37474f">{nouns}</text>')
    out.append(
        '<text x="540" y="717" text-anchor="middle" fill="#455a64">arrow: the upper file imports the lower one</text>'
    )
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    FIGURE.write_text(draw(), encoding="utf-8")
