"""Includes: a sweep file may build on others, `include: [base.yaml, models/pythia.yaml]`.

What is said later wins: the files in their order, then the file that includes them. Mappings are
merged, key by key; lists and single values are replaced. `models` and `tasks` are joined by name:
an item whose name is there already is merged into that one, any other is added after them. A
mapping of another kind (an engine, source or kind of allocation) is not merged, but replaced.

Knows files and how they are merged; not what else a sweep may say.
"""

import os
from pathlib import Path

from pipelines.errors import UserError
from pipelines.sweeps.places import Node, Place, Source
from pipelines.sweeps.refusal import refuse
from pipelines.sweeps.yaml_text import read

_JOINED = ("models", "tasks")
_ITEM = "item"
_OF_SEVERAL_KINDS = ("allocation", _ITEM)


def read_file(path: Path) -> Node:
    """Return what a sweep file says together with those that it includes.

    Raises:
        UserError: a file is missing, cannot be read, is no YAML or no mapping, or includes itself;
            gives the place where it is included.
    """
    return _read(path, str(path), within=(), by=None)


def _read(path: Path, name: str, within: tuple[tuple[Path, str], ...], by: Place | None) -> Node:
    """Read one file, under the `name` that the user knows it by, and those below it.

    Args:
        path: the file.
        name: as the user knows it.
        within: the files that include it, outermost first, and their names.
        by: where it is included; None for the sweep file itself.
    """
    real = path.resolve()
    if by is not None and real in [outer for outer, _ in within]:
        chain = " -> ".join([*(outer for _, outer in within), name])
        raise refuse(by, f"include: goes in a circle, {chain}; remove one of them")
    folder = path.absolute().parent
    root = read(Source(name=name, folder=folder, text=_text(path, name, by)))
    if not isinstance(root.value, dict):
        what = "name, models and tasks" if by is None else "what sweeps have in common"
        raise refuse(root.place, f"must hold a mapping with {what}")
    base = Node(value={}, place=root.place)
    for member in _files(root):
        inner = Path(str(member.value)).expanduser()
        shown = os.path.normpath(Path(name).parent / inner)
        base = _merged(base, _read(folder / inner, shown, (*within, (real, name)), member.place))
    return _merged(base, root.without("include"))


def _files(root: Node) -> list[Node]:
    """Return the names of the files that a file includes."""
    if "include" not in root.items:
        return []
    asked = root.items["include"]
    files = asked.members if isinstance(asked.value, list) else [asked]
    for file in files:
        if not isinstance(file.value, str) or not file.value:
            raise refuse(
                file.place,
                f"include: is {file.plain()!r}; must be a file's path, or a list of them",
            )
    return files


def _text(path: Path, name: str, by: Place | None) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problem = "no such sweep file"
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({error})"
    if by is None:
        raise UserError(f"{name}: {problem}")
    raise refuse(by, f"include: {name}: {problem}")


def _merged(base: Node, over: Node, field: str = "") -> Node:
    """Return what two files say of one field together; `over` wins."""
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        if field in _OF_SEVERAL_KINDS and _differ(_kind(base), _kind(over)):
            return over
        return _over_keys(base, over)
    if field in _JOINED and isinstance(base.value, list) and isinstance(over.value, list):
        return Node(value=_joined(base.value, over.value), place=over.place, key=over.key)
    return over


def _over_keys(base: Node, over: Node) -> Node:
    """Return one mapping merged into another, key by key."""
    changes = {
        key: _merged(base.items[key], item, key) if key in base.items else item
        for key, item in over.items.items()
    }
    return Node(value=base.items | changes, place=over.place, key=over.key)


def _joined(base: list[Node], over: list[Node]) -> list[Node]:
    """Return the items of two lists, those of one name merged."""
    joined = list(base)
    names = [item.get("name") for item in base]
    for item in over:
        name = item.get("name")
        if name is not None and name in names:
            at = names.index(name)
            joined[at] = _merged(joined[at], item, _ITEM)
        else:
            joined.append(item)
    return joined


def _kind(section: Node) -> object:
    """Return which of several kinds a section says it is; None where it leaves that open."""
    for key in ("engine", "source", "kind"):
        if key in section.items:
            return section.get(key)
    if "n" in section.items:
        return "fixed"
    return "until" if section.items.keys() & {"r", "cap", "first_round", "growth"} else None


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other
