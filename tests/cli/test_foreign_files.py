"""No command writes over a file that it did not create, of whatever site or person."""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.main import _run_command
from tests import world
from tests.cli.conftest import Command
from tests.review import made
from tests.review.conftest import put


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sites with results, one of which is truth to the other."""
    folder = tmp_path_factory.mktemp("places")
    put(folder / "out" / "made-place", [made.alert(1), made.alert(2, row=30, col=30)])
    shutil.copytree(folder / "out" / "made-place", folder / "out" / "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert _run_command(["export", "made-place", "--to", "changes.geojson"]) == 0
    document = json.loads((folder / "changes.geojson").read_text())
    for feature in document["features"]:
        feature["properties"] |= {"begins": "2023-03-10", "id": feature["id"], "kind": "new structure"}
    (folder / "truth.geojson").write_text(json.dumps(document))
    return folder


@pytest.fixture
def places(made_once: Path, command: Command, tmp_path: Path) -> Path:
    """A copy of both sites, in the folder of the command."""
    return Path(shutil.copytree(made_once, tmp_path, dirs_exist_ok=True))


REVIEW = "out/made-place/review.gpkg"
WRITERS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "evaluate": lambda target: ("evaluate", REVIEW, "truth.geojson", "--json", target),
    **{
        form: lambda target, form=form: ("export", "made-place", "--format", form, "--to", target)
        for form in ("geojson", "kml", "csv", "zip", "stac")
    },
}
FOREIGN = [REVIEW, "out/other/review.gpkg", "out/other/review.qgz", "out/other/after.tif", "notes.txt", "other.json"]


@pytest.mark.parametrize("target", FOREIGN)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_of_somebody_else_is_refused_and_stays(places: Path, command: Command, writer: str, target: str) -> None:
    Path("notes.txt").write_text("mine")
    Path("other.json").write_text('{"mine": true}')
    before = Path(target).read_bytes()
    done = command(*WRITERS[writer](Path(target)))
    assert done.code == 2 and len(done.errors) == 1 and target in done.errors[0]
    assert Path(target).read_bytes() == before


@pytest.mark.parametrize("writer", WRITERS)
def test_what_the_same_command_wrote_is_replaced(places: Path, command: Command, writer: str) -> None:
    target = Path("again")
    assert [command(*WRITERS[writer](target)).code for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("name", ["index.html", "feed.xml"])
def test_a_page_of_somebody_else_in_the_folder_of_results_stays(command: Command, sites: Path, name: str) -> None:
    Path("out").mkdir()
    (Path("out") / name).write_text("<html>my own pages</html>")
    done = command("nightly", "--sites", sites)
    assert (Path("out") / name).read_text() == "<html>my own pages</html>"
    assert f"did not write (out/{name})" in done.err
    assert Path("out/place/review.gpkg").exists()


def test_a_pair_is_not_compared_into_the_results_of_a_site(command: Command, sites: Path, tmp_path: Path) -> None:
    assert command("nightly", "--sites", sites).code == 0
    before = Path("out/place/review.gpkg").read_bytes()
    share = world.ground()
    for name, built in (("20200401", False), ("20200901", True)):
        write_bands(tmp_path / name, share, built)
    done = command("pair", "20200401", "20200901", "--out", "out/place")
    assert done.code == 3 and "--out" in done.errors[0]
    assert Path("out/place/review.gpkg").read_bytes() == before


def write_bands(folder: Path, share: object, built: bool) -> None:
    import rasterio

    names = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08"}
    folder.mkdir()
    for key, (data, grid) in world.scene(share, built=built).items():  # type: ignore[arg-type]
        if key in names:
            shape = {"height": grid.shape[0], "width": grid.shape[1], "count": 1, "dtype": "uint16"}
            place = {"crs": str(grid.crs), "transform": grid.affine}
            with rasterio.open(folder / f"{names[key]}.tif", "w", driver="GTiff", **shape, **place) as file:
                file.write(data, 1)


def _add(number: int) -> None:
    words = ("--lon", "10", "--lat", str(40 + number), "--name", f"place {number}", "--to", "own.geojson")
    raise SystemExit(_run_command(["sites", "add", *words]))


def test_sites_added_at_once_are_all_there(command: Command) -> None:
    context = multiprocessing.get_context("fork")
    adding = [context.Process(target=_add, args=(number,)) for number in range(6)]
    for process in adding:
        process.start()
    for process in adding:
        process.join(60)
    assert [process.exitcode for process in adding] == [0] * 6
    found = json.loads(Path("own.geojson").read_text())["features"]
    assert sorted(each["properties"]["id"] for each in found) == [f"place-{number}" for number in range(6)]
    assert [path.name for path in Path().iterdir() if path.name != ".groundbreak.lock"] == ["own.geojson"]
