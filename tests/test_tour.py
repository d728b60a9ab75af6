"""The tour notebook runs from top to bottom, and what its text says of the outcome is what came out."""

import os

import pytest
from conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="nbformat reads the notebook; it is in the extra dev")
pytest.importorskip("nbclient", reason="nbclient runs the notebook; it is in the extra dev")
pytest.importorskip("ipykernel", reason="ipykernel runs the notebook; it is in the extra dev")

TOUR = ROOT / "examples" / "tour.ipynb"


@pytest.fixture(scope="module")
def tour():
    return nbformat.read(TOUR, as_version=4)


@pytest.fixture(scope="module")
def cells(tour, tmp_path_factory):
    """The code cells after they ran, in a folder of its own."""
    from nbclient import NotebookClient

    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    folder = tmp_path_factory.mktemp("tour")
    client = NotebookClient(tour, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    assert not list(folder.iterdir())  # what it writes goes into folders that vanish
    return [cell for cell in tour.cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def displayed(cell):
    """The kinds of what the cell's last value shows."""
    return {kind for output in cell.outputs if output.output_type == "execute_result" for kind in output.data}


def test_it_is_kept_without_outputs():
    code = [cell for cell in nbformat.read(TOUR, as_version=4).cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_every_cell_runs_without_a_warning(cells):
    assert all(cell.execution_count for cell in cells)
    said = [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert not [text for text in said if "ipywidgets" not in text]  # tqdm misses them where they are not installed


@pytest.mark.slow
def test_figures_and_tables_display_themselves(cells):
    shown = [displayed(cell) for cell in cells]
    assert sum("image/png" in kinds for kinds in shown) == 5  # the scene and four figures
    assert sum("text/html" in kinds for kinds in shown) == 2  # the result and the comparison


@pytest.mark.slow
def test_the_text_says_what_came_out(cells):
    verdict = next(printed(cell) for cell in cells if printed(cell).startswith("Correction"))
    assert "fixed fewer answers than it broke" in verdict
