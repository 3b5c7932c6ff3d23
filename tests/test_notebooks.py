"""The notebooks run from the first cell to the last, draw, and are stored with what they drew."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
PICTURES = {"walk.ipynb": 6, "own_site.ipynb": 2, "stack.ipynb": 2}
"""Pictures that each one draws."""
MAX_BYTES = 800_000
"""Of a stored notebook: pictures are kept small."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq"),
    pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning"),
]


def pictures(book: nbformat.NotebookNode) -> list[str]:
    """The pictures of all cells, base64."""
    data = [output.get("data", {}) for cell in book.cells for output in cell.get("outputs", ())]
    return [text for each in data for kind, text in each.items() if kind in ("image/png", "image/gif")]


def code(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def test_every_notebook_is_tried() -> None:
    assert {path.name for path in FOLDER.glob("*.ipynb")} == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_is_stored_executed_with_small_pictures(name: str) -> None:
    book = nbformat.read(FOLDER / name, as_version=4)
    assert [cell.execution_count for cell in code(book)] == list(range(1, len(code(book)) + 1))
    outputs = [output for cell in code(book) for output in cell.outputs]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert len(pictures(book)) == PICTURES[name] and (FOLDER / name).stat().st_size < MAX_BYTES
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert "from pipeline" not in text and "import pipeline" not in text and "site-packages" not in text


def test_the_stack_needs_less_than_thirty_lines() -> None:
    book = nbformat.read(FOLDER / "stack.ipynb", as_version=4)
    assert sum(bool(line.strip()) for cell in code(book) for line in cell.source.splitlines()) < 30


@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_runs_offline_and_draws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # a request to the network is refused at once
    book = nbformat.read(FOLDER / name, as_version=4)
    for cell in code(book):
        cell.outputs = []
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    assert len(pictures(book)) == PICTURES[name] and min(map(len, pictures(book))) > 5000
