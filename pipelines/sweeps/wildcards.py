"""Wildcards in a model's path: `./checkpoints/step-*` stands for every folder that matches.

Knows the values of a sweep file, before they are checked; not what is in the folders.
"""

import glob
import re
from dataclasses import replace
from pathlib import Path

from pipelines.sweeps.places import Node
from pipelines.sweeps.refusal import Complaint


def is_pattern(path: str) -> bool:
    """Whether a model's path has a wildcard: *, ? or [...]."""
    return not path.startswith("ladder:") and glob.has_magic(path)


def expand(root: Node) -> tuple[Node, list[Complaint]]:
    """Put, in place of a model whose path has a wildcard, one for each folder that matches.

    Each is called NAME-FOLDER, and all else that is said of the model holds for each. They stand
    in natural order: step-9 before step-10.

    Returns:
        What the sweep says, with its models, and what is wrong: patterns that match no folder.
    """
    models = root.items.get("models")
    if models is None or not isinstance(models.value, list):
        return root, []
    expanded: list[Node] = []
    wrong: list[Complaint] = []
    for at, model in enumerate(models.value):
        path = model.items.get("path")
        found = _matches(path) if path is not None else None
        if found is None or path is None:
            expanded.append(model)
        elif not found:
            text = (
                f"models.{at}.path: {path.value} matches no folder; give the folder of a "
                "checkpoint, or a pattern that matches some"
            )
            wrong.append(Complaint(place=path.place, text=text))
            expanded.append(model)
        else:
            expanded += [_one(model, path, match) for match in found]
    return root.put({"models": replace(models, value=expanded)}), wrong


def _matches(path: Node) -> list[Path] | None:
    """Return the folders that match a path, in natural order; None where it is none."""
    folder = path.place.source.folder
    if folder is None or not isinstance(path.value, str) or not is_pattern(path.value):
        return None
    place = folder / Path(path.value).expanduser()
    if place.is_dir():  # its own name has such a sign
        return None
    # Path.glob knows no pattern that begins at the root.
    found = glob.glob(str(place))  # noqa: PTH207
    return sorted((match for match in map(Path, found) if match.is_dir()), key=_natural)


def _one(model: Node, path: Node, match: Path) -> Node:
    """Return the model of one folder."""
    name = model.items.get("name", path)
    return model.put(
        {
            "name": replace(name, value=f"{model.get('name')}-{match.name}"),
            "path": replace(path, value=str(match)),
        }
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by their size."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
