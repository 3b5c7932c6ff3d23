"""The notebooks run from the first cell to the last, draw, and are committed without what they drew."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
FIGURES = {"walk.ipynb": 8, "own_site.ipynb": 3}
"""Pictures that each one draws."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq"),
    pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning"),
]


def test_every_notebook_is_tried():
    assert {path.name for path in FOLDER.glob("*.ipynb")} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_is_committed_without_output(name):
    book = nbformat.read(FOLDER / name, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize("name", FIGURES)
def test_a_notebook_runs_offline_and_draws(name, monkeypatch):
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # whatever asks the network is refused at once
    book = nbformat.read(FOLDER / name, as_version=4)
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    drawn = [each for each in outputs if "image/png" in each.get("data", {})]
    assert len(drawn) == FIGURES[name] and min(len(each["data"]["image/png"]) for each in drawn) > 5000
