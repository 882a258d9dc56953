"""Grids: one sweep file that is many runs, `grid: {decoding.temperature: [0.2, 0.6, 1.0]}`.

A mapping of lists stands for every combination of their values; a list of mappings for those points
alone. Each point is a sweep of its own: NAME-temperature=0.2 in runs/NAME/temperature=0.2.

Knows keys and values; not what they mean.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pipelines.sweeps.overrides import Override, put, steps
from pipelines.sweeps.places import Node, Place
from pipelines.sweeps.refusal import refuse

LONGEST_VALUE = 40
"""Characters of a value in a point's name; a longer one is named by a hash."""
_OF_ALL = ("name", "run", "grid")
"""What names the points, and so cannot differ between them by a value."""

_COLUMNS = frozenset(
    {
        "cap", "engine", "family", "k", "kind", "level", "model", "n", "parameters", "problems",
        "r", "seed", "seeding", "verifier",
    }
)  # fmt: skip
"""Fields that are columns of a run's tables too. Readers of Parquet take a folder seed=1 for a
column, and would put it in place of the table's own: such fields are named as sweep.seed=1."""


@dataclass(frozen=True, kw_only=True)
class _Point:
    name: str
    """Part of a path: as temperature=0.2-n=100."""
    values: Mapping[str, Node]
    """By dotted key."""
    place: Place


def expand(root: Node) -> tuple[Node, ...]:
    """Return the sweeps that a grid stands for, in its order; the sweep itself without a grid.

    Raises:
        SweepError: the grid is no mapping of lists and no list of mappings, is empty, names what
            is not there, or two points have the same name.
    """
    grid = root.items.get("grid")
    if grid is None or grid.value is None:
        return (root.without("grid"),)
    base = root.without("grid")
    points = _points(grid)
    names = [point.name for point in points]
    for at, point in enumerate(points):
        if point.name in names[:at]:
            raise refuse(
                point.place,
                f"grid: two points are called {point.name!r}; remove one, or write the grid as a "
                "list of points, each with a name",
            )
    return tuple(_at(base, point) for point in points)


def overridden(root: Node, override: Override) -> Node:
    """Return the values with one put in; of a grid's own key, the grid keeps this value alone.

    Raises:
        SweepError: the grid gives the key point by point, or gives a part of the value or holds it.
    """
    place = override.value.place
    parts = steps(root, override.key, place)
    if parts[0] == "include":
        raise refuse(place, "files are included before values are overridden; write it in the file")
    grid = root.items.get("grid", Node(value=None, place=place))
    for key in _keys(grid) if parts[0] != "grid" else ():
        gridded = steps(root, key, grid.items[key].place if key in grid.items else grid.place)
        if gridded == parts and key in grid.items:
            alone = Node(value=[override.value], place=place)
            return root.put({"grid": grid.put({key: alone})})
        if gridded[: len(parts)] == parts[: len(gridded)]:
            raise refuse(
                place,
                f"the grid gives {key}, point by point; give -o grid=null for a single run, or "
                "another grid with -o 'grid={KEY: [VALUE, ...]}'",
            )
    return put(root, parts, override.value)


def _keys(grid: Node) -> list[str]:
    """Return the dotted keys that a grid gives."""
    held = [grid, *grid.members]
    return [key for holder in held for key in holder.items if key not in _OF_ALL]


def _points(grid: Node) -> list[_Point]:
    """Return the points of a grid, checked."""
    if isinstance(grid.value, dict) and grid.value:
        chosen = [dict(zip(grid.items, values, strict=True)) for values in _combined(grid)]
        places = [grid.place] * len(chosen)
    elif isinstance(grid.value, list) and grid.value:
        for member in grid.members:
            if not member.items:
                raise refuse(member.place, f"grid: is {member.plain()!r}; must be {{key: value}}")
        chosen = [member.items for member in grid.members]
        places = [member.place for member in grid.members]
    else:
        raise refuse(
            grid.place,
            f"grid: is {grid.plain()!r}; must be {{key.sub: [value, ...]}}, or a list of "
            "{key.sub: value}",
        )
    short = _short(dict.fromkeys(key for values in chosen for key in values if key != "name"))
    points = []
    for values, place in zip(chosen, places, strict=True):
        given = {key: value for key, value in values.items() if key != "name"}
        _refuse_reserved(given)
        name = "-".join(f"{short[key]}={_label(value)}" for key, value in given.items())
        if "name" in values:
            name = _given_name(values["name"])
        points.append(_Point(name=name, values=given, place=place))
    return points


def _given_name(named: Node) -> str:
    """Return the name that a point was given, which is to be a part of a path."""
    name = named.plain()
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=-]*", name):
        raise refuse(
            named.place,
            f"grid.name: is {name!r}; must be letters, digits, dot, underscore, hyphen, =",
        )
    return name


def _combined(grid: Node) -> list[tuple[Node, ...]]:
    """Return every combination of the values of a grid's keys, the last key fastest."""
    _refuse_reserved(grid.items)
    for key, axis in grid.items.items():
        if not axis.members:
            raise refuse(axis.place, f"grid.{key}: is {axis.plain()!r}; must be a list of values")
    axes = [
        [replace(value, key=axis.key) for value in axis.members] for axis in grid.items.values()
    ]
    return list(itertools.product(*axes))


def _refuse_reserved(values: Mapping[str, Node]) -> None:
    for key, value in values.items():
        if key.partition(".")[0] in (*_OF_ALL, "include"):
            raise refuse(
                value.key or value.place,
                f"grid.{key}: cannot differ between points; the points are named by their values, "
                "or by a name in a list of points",
            )


def _at(base: Node, point: _Point) -> Node:
    """Return the sweep of one point."""
    made = base
    for key, value in point.values.items():
        at = value.key or value.place
        made = put(made, steps(made, key, at), value)
    name = base.get("name")
    if not isinstance(name, str):
        return made  # which is refused for that
    run = base.get("run") or f"runs/{name}"

    def told(text: str) -> Node:
        return Node(value=text, place=point.place)

    return made.put(
        {"name": told(f"{name}-{point.name}"), "run": told(f"{str(run).rstrip('/')}/{point.name}")}
    )


def _short(keys: Iterable[str]) -> dict[str, str]:
    """Return each dotted key's shortest ending that no other key and no column has."""
    full = {key: key if "." in key else f"sweep.{key}" for key in keys}
    short = {}
    for key, name in full.items():
        parts = name.split(".")
        endings = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
        others = [other for other in full.values() if other != name]
        short[key] = next(
            ending
            for ending in endings
            if ending == name or not (ending in _COLUMNS or _ends_one(others, ending))
        )
    return short


def _ends_one(keys: Iterable[str], ending: str) -> bool:
    return any(f".{key}".endswith(f".{ending}") for key in keys)


def _label(value: Node) -> str:
    """Return a value as part of a name: letters, digits, dot, hyphen and underscore."""
    members = value.members if isinstance(value.value, list) else [value]
    texts = [item.value if isinstance(item.value, str) else _json(item) for item in members]
    label = "_".join(re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") for text in texts)
    if value.value != "" and re.search(r"[A-Za-z0-9]", label) and len(label) <= LONGEST_VALUE:
        return ("-" if _is_negative(value) else "") + label
    return hashlib.blake2b(_json(value).encode(), digest_size=4).hexdigest()


def _json(value: Node) -> str:
    return json.dumps(value.plain(), sort_keys=True)


def _is_negative(value: Node) -> bool:
    return isinstance(value.value, int | float) and value.value < 0
