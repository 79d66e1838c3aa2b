"""Every notebook runs completely, with small settings."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
SMALL = {
    "EPOCHS = 100": "EPOCHS = 2",
    "UPDATES = 1_000": "UPDATES = 20",
    "BATCHES = 3_000": "BATCHES = 60",
    "BATCHES = 1_500": "BATCHES = 4",
}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # several threads are slow on a busy machine
    notebook = nbformat.read(path, as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells)
    assert any(setting in source for setting in SMALL), "it has none of the settings in SMALL; add its setting there"
    for cell in notebook.cells:
        for setting, small in SMALL.items():
            cell.source = cell.source.replace(setting, small)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def test_notebooks_are_committed_without_output():
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs"), f"{path.name} contains output; clear it before committing"
