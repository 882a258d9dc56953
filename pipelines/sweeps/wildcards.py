"""Wildcards in a model's path: `./checkpoints/step-*` stands for every folder that matches.

Knows the plain values of a sweep file, before they are checked; not what is in the folders.
"""

import glob
import re
from pathlib import Path
from typing import Any

from pipelines.errors import UserError


def is_pattern(path: str) -> bool:
    """Whether a model's path has a wildcard: *, ? or [...]."""
    return not path.startswith("ladder:") and glob.has_magic(path)


def expand(values: dict[str, Any], folder: Path, source: str) -> None:
    """Put, in place of a model whose path has a wildcard, one for each folder that matches.

    Each is called NAME-FOLDER, and all else that is said of the model holds for each. They stand
    in natural order: step-9 before step-10.

    Args:
        values: what a sweep file says; changed in place.
        folder: what relative paths are relative to.
        source: the sweep file, for errors.

    Raises:
        UserError: no folder matches.
    """
    models = values.get("models")
    if isinstance(models, list):
        values["models"] = [one for model in models for one in _expanded(model, folder, source)]


def _expanded(model: Any, folder: Path, source: str) -> list[Any]:
    pattern = model.get("path") if isinstance(model, dict) else None
    if not isinstance(pattern, str) or not is_pattern(pattern):
        return [model]
    place = folder / Path(pattern).expanduser()
    if place.is_dir():  # its own name has such a sign
        return [model]
    # Path.glob knows no pattern that begins at the root.
    found = glob.glob(str(place))  # noqa: PTH207
    matches = [path for path in map(Path, found) if path.is_dir()]
    if not matches:
        raise UserError(
            f"{source}: model {model.get('name')}: path {pattern}: matches no folder; give the "
            "folder of a checkpoint, or a pattern that matches some"
        )
    return [
        model | {"name": f"{model.get('name')}-{path.name}", "path": str(path)}
        for path in sorted(matches, key=_natural)
    ]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by their size."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
