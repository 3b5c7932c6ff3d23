"""What a night asks of the network: requests and bytes, against the least that the files allow.

python -m benchmarks.traffic      servers on this machine; needs no recorded data
"""

import contextlib
import os
import tempfile
from pathlib import Path

from pipeline.cli.main import _run_command
from tests import world
from tests.faults.served import items_of
from tests.peer import range_server, stac_api

LEAST_PER_ASSET = 2
"""Requests for one block of a COG: its head with the tile index, the block (a file this small is one head)."""
NIGHTS = ((9, "the first night, 9 scenes"), (10, "one new scene"), (10, "nothing new"))


def main() -> str:
    """A markdown section."""
    lines = [
        "## What a night asks of the network",
        "",
        "`benchmarks/traffic.py`: a site of 0.1 km² behind a STAC API and a file server on this machine; the files are",
        "about 10 kB each, one block, so that a read can take no more than the whole file.",
        "",
        "| night | searches | assets read | requests | an asset | bytes | of the files' bytes |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        folder = Path(scratch)
        # a catalogue on this machine needs the operator's consent
        (folder / "groundbreak.toml").write_text('[search]\nasset_hosts = ["127.0.0.1"]\n')
        world.catalogue(folder / "files", dates=10, built_from=5)
        with range_server.serve(folder / "files") as files:
            items = items_of(folder / "files", files.url)
            for count, name in NIGHTS:
                lines.append(f"| {name} | {_night(folder, files, items[:count])} |")
    return "\n".join([*lines, "", f"The least for one block of a large COG is {LEAST_PER_ASSET} requests an asset."])


def _night(folder: Path, files: range_server.Ranges, items: list) -> str:
    files.log.clear()
    with stac_api.serve(items) as api:
        feature = world.feature(api.url, collection="made-up", start="2020-03-01")
        world.write_sites(folder / "sites.geojson", [feature])
        with (
            Path(os.devnull).open("w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            code = _run_command(["nightly", "--sites", "sites.geojson", "--workers", "1"])
        assert code in (0, 4), code
        searches = len(api.asked)
    read = {path for _, path, _ in files.log}
    size = {path: (folder / "files" / path.removeprefix("/ok/")).stat().st_size for path in read}
    took = sum(_length(asked, size[path]) for method, path, asked in files.log if method == "GET")
    whole = sum(size.values())
    share = f"{took / whole:.2f}" if whole else "-"
    each = f"{len(files.log) / len(read):.1f}" if read else "-"
    return f"{searches} | {len(read)} | {len(files.log)} | {each} | {took:,} | {share}"


def _length(asked: str, size: int) -> int:
    if not asked:
        return size
    first, _, last = asked.removeprefix("bytes=").partition("-")
    return min(int(last or size - 1), size - 1) - int(first) + 1


if __name__ == "__main__":
    print(main())
