"""Coverage-guided fuzzing of what is read from outside: AOI files, settings, STAC items.

python -m tests.faults.fuzz [libFuzzer's options, -max_total_time=60 say] [crash-...]

Anything but a result or a GroundbreakError with its three parts is a finding; libFuzzer keeps the input that made it,
and given that file does nothing but try it again.
"""

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pipeline.catalogue", "pipeline.model"]):
    from pipeline.catalogue.hrefs import AllowList
    from pipeline.catalogue.items import parse_item
    from pipeline.catalogue.providers import known_hosts
    from pipeline.catalogue.sites import read_sites
    from pipeline.model.errors import GroundbreakError
    from pipeline.model.settings import parse_settings

SCRATCH = Path(tempfile.mkdtemp(prefix="groundbreak-fuzz-"))
FENCE = AllowList(base=str(SCRATCH / "item.json"), folder=SCRATCH, hosts=known_hosts())


def one(data: bytes) -> None:
    """The first byte chooses the reader, the others are what it reads."""
    choice, body = data[:1], data[1:]
    try:
        if choice < b"\x40":
            _file("sites.geojson", body)
        elif choice < b"\x80":
            _file("sites.kml", body)
        elif choice < b"\xc0":
            parse_settings(body.decode("utf-8", "replace"), "fuzz.toml")
        else:
            _item(body)
    except GroundbreakError as error:
        assert error.what and error.where and error.fix, repr(error)


def _file(name: str, body: bytes) -> None:
    path = SCRATCH / name
    path.write_bytes(body)
    for error in read_sites((path,)).errors:
        assert error.what and error.where and error.fix, repr(error)
        # the boundary of a feature caught it, and a check has to name it
        assert not error.what.startswith("cannot be understood"), repr(error)


def _item(body: bytes) -> None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        parse_item(document, FENCE)


def seeds(folder: Path) -> Path:
    """One good input a reader: a fuzzer that starts from nothing hardly gets past the first brace."""
    items = sorted((Path(__file__).parents[1] / "data").glob("*/*.json"))
    aoi = Path(__file__).parents[2] / "aois" / "watch.geojson"
    kml = (
        '<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><name>A</name><Polygon><outerBoundaryIs>'
        "<LinearRing><coordinates>10,50 10.1,50 10.1,50.1 10,50</coordinates></LinearRing></outerBoundaryIs></Polygon>"
        "</Placemark></Document></kml>"
    )
    good = [b"\x00" + aoi.read_bytes(), b"\x40" + kml.encode(), b"\x80[decide]\nmin_history = 5\n"]
    for number, body in enumerate([*good, *(b"\xc0" + item.read_bytes() for item in items)]):
        (folder / f"seed-{number}").write_bytes(body)
    return folder


if __name__ == "__main__":
    corpus = SCRATCH / "corpus"
    corpus.mkdir()
    again = any(not each.startswith("-") for each in sys.argv[1:])
    atheris.Setup([*sys.argv, *([] if again else [str(seeds(corpus)), "-max_len=40000"])], one)
    atheris.Fuzz()
