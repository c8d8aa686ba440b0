"""The notebook of the interface in Python: its cells run, and its pictures are small.

They are run here, one after the other in one namespace, which is all that Jupyter would do with them.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs"
NOTEBOOK = FOLDER / "python.ipynb"
LARGEST_BYTES = 400_000


@pytest.fixture
def without_display(monkeypatch):
    monkeypatch.chdir(FOLDER)  # where Jupyter would run it
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_its_cells_run_and_draw_what_they_say(without_display, capsys):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    namespace: dict = {}
    for number, cell in enumerate(cells, 1):
        exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec"), namespace)
    assert len(plt.get_fignums()) == sum("plt.subplots" in "".join(cell["source"]) for cell in cells) == 3
    printed = capsys.readouterr().out
    assert printed.startswith("CaseError: 'imgs' holds values")
    assert "millilitres of each object" in printed


def test_its_pictures_are_small_and_no_cell_has_failed():
    assert NOTEBOOK.stat().st_size < LARGEST_BYTES
    outputs = [output for cell in json.loads(NOTEBOOK.read_text())["cells"] for output in cell.get("outputs", ())]
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data"}
