"""Execute a notebook in a kernel of its own and read variables from where it ended."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
DATA = ROOT.parent / "shared" / "data"
NEEDS_DATA = "needs-data"
"""Tag of cells without which the rest of a notebook makes sense."""


def read(name: str) -> dict[str, Any]:
    """Return a stored notebook as its JSON has it, the source of each cell in one string."""
    book: dict[str, Any] = json.loads(path_of(name).read_text(encoding="utf-8"))
    for cell in book["cells"]:
        cell["source"] = "".join(cell["source"])
    return book


def path_of(name: str) -> Path:
    """Return where a notebook is."""
    return NOTEBOOKS / f"{name}.ipynb"


def execute(name: str, facts: dict[str, str], folder: Path, *, data: bool) -> Any:
    """Run a notebook as if it lay in `folder`; return its cells and the facts as its variables end.

    `facts` are expressions; one that names a variable of a cell that did not run is left out.
    """
    import nbformat

    from notebooks.execute import execute as run

    book = nbformat.read(path_of(name), as_version=4)
    if not data:
        book.cells = [cell for cell in book.cells if NEEDS_DATA not in tags(cell)]
    told = "\n".join(
        f"try: _facts[{fact!r}] = {expression}\nexcept NameError: pass"
        for fact, expression in facts.items()
    )
    ask = f"import json as _json\n_facts = {{}}\n{told}\nprint(_json.dumps(_facts))"
    book.cells.append(nbformat.v4.new_code_cell(ask))
    run(book, folder, PASSLAW_DATA=str(DATA), PYTHONPATH=str(ROOT))
    *cells, asked = book.cells
    return cells, json.loads("".join(output["text"] for output in asked.outputs))


def tags(cell: Any) -> list[str]:
    """Return the tags of a cell."""
    return list(cell["metadata"].get("tags", []))


def warnings_of(cells: list[Any]) -> list[str]:
    """Return what cells wrote to standard error, and lines elsewhere that speak of a warning."""
    streams = [
        output
        for cell in cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]
    errors = [stream.text for stream in streams if stream.name == "stderr"]
    lines = [line for stream in streams for line in stream.text.splitlines()]
    return errors + [line for line in lines if "Warning" in line or "Traceback" in line]
