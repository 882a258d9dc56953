"""Execute the notebooks and keep them, with what they show, in notebooks/build/.

`make notebooks` does; names of notebooks as arguments execute only those. Charts are kept as PNG,
so that they show without a network. Where nbconvert is installed each is kept as a page of HTML
too. Knows how notebooks are run, not what is in them.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
SECONDS = 1_800
"""For one cell, on a machine that may be slow."""
PICTURES = 'import altair\n\n_ = altair.renderers.enable("png", scale_factor=1.5)'


def execute(book: nbformat.NotebookNode, folder: Path, **variables: str) -> None:
    """Execute a notebook in place, in a kernel of its own.

    Args:
        book: the notebook; its cells get their outputs.
        folder: the kernel's working directory.
        variables: of the kernel's environment, beside those of this process.

    Raises:
        CellExecutionError: a cell failed.
    """
    client = NotebookClient(
        book,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    book.cells.insert(0, nbformat.v4.new_code_cell(PICTURES))
    # The command `passlaw` of the environment that this Python belongs to.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    try:
        client.execute(env={**os.environ, "PATH": path, "MPLBACKEND": "agg", **variables})
    finally:
        del book.cells[0]


def keep(book: nbformat.NotebookNode, name: str) -> None:
    """Write an executed notebook to the folder `build`."""
    BUILD.mkdir(exist_ok=True)
    nbformat.write(book, BUILD / f"{name}.ipynb")
    if find_spec("nbconvert"):
        from nbconvert import HTMLExporter

        page, _ = HTMLExporter().from_notebook_node(book)
        (BUILD / f"{name}.html").write_text(page, encoding="utf-8")


def main(names: list[str]) -> int:
    """Execute the named notebooks, or all; return 1 if some could not be, and say why."""
    failed = 0
    for path in sorted(HERE.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        book = nbformat.read(path, as_version=4)
        try:
            execute(book, HERE)
        except CellExecutionError as error:
            failed = 1
            print(f"{path.name}: {error.ename}: {error.evalue}", file=sys.stderr)
        else:
            keep(book, path.stem)
            print(f"{path.name}: executed")
    return failed


if __name__ == "__main__":
    sys.exit(main([Path(name).stem for name in sys.argv[1:]]))
