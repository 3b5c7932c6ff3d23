"""Runs every benchmark script and writes benchmarks/RESULTS.md, with machine, versions and commit.

python -m benchmarks.run [NAME ...]      all of them, or those named; the sections of the others are kept
"""

import argparse
import importlib
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
SECTION = re.compile(r"<!-- (\w+) -->\n(.*?)(?=<!-- \w+ -->|\Z)", re.DOTALL)
LIBRARIES = ("numpy", "scipy", "scikit-image", "rasterio", "shapely", "geopandas", "odc-geo")


def names() -> list[str]:
    """Every script beside this one that has a `main`."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run" and "\ndef main(" in path.read_text())


def header() -> str:
    """Where and with what the figures were made."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        "# Results\n\nWritten by `make bench`; each section names its script. Do not edit by hand.\n\n"
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"{libraries}, commit {commit.stdout.strip() or 'unknown'}.\n\n"
    )


def main() -> int:
    """Run and collect; a script that cannot run keeps its old section and is named at the end."""
    parser = argparse.ArgumentParser(description="Run benchmarks and collect them into RESULTS.md.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names())}; default: all")
    wanted = parser.parse_args().names or names()
    made, failed = dict[str, str](), []
    for name in wanted:
        began = time.monotonic()
        try:
            script = importlib.import_module(f"benchmarks.{name}")
            with threadpool_limits(1):  # CPU seconds of one core: a second thread of linear algebra only waits
                made[name] = script.main().strip() + "\n\n"
        except Exception as error:  # noqa: BLE001  (the other tables are still worth having)
            failed.append(name)
            print(f"error: {name}: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            print(f"{name}: {time.monotonic() - began:.0f} s")
    # read now: another run may have written its sections meanwhile
    kept = dict(SECTION.findall(RESULTS.read_text())) if RESULTS.exists() else {}
    kept |= made
    RESULTS.write_text(header() + "".join(f"<!-- {name} -->\n{kept[name]}" for name in sorted(kept)))
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
