"""Overrides: `-o key.sub=value` puts one value in place of another, before a sweep is checked.

Knows dotted keys; not what a sweep may say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.sweeps.places import Node, Part, Place, Source
from pipelines.sweeps.refusal import SweepError, refuse
from pipelines.sweeps.yaml_text import read


@dataclass(frozen=True, kw_only=True)
class Override:
    """One value, and where it goes."""

    key: str
    """Dotted; items of a list by their position from 0, or by their name."""
    value: Node


def read_override(text: str, folder: Path | None) -> Override:
    """Read `key.sub=value`; paths in it are relative to the sweep file's folder, if there is one.

    Raises:
        SweepError: it has no `=`, or its value is no YAML.
    """
    key, equals, value = text.partition("=")
    place = Place(source=Source(name=f"-o {key}", folder=folder))
    if not equals or not key:
        raise refuse(
            replace(place, source=Source(name=f"-o {text}")), "must look like key.sub=value"
        )
    try:
        plain = read(Source(name="", text=value)).plain()
    except SweepError as error:
        raise refuse(place, f"the value is {error.complaints[0].text}") from None
    return Override(key=key, value=Node.of(plain, place))


def steps(root: Node, key: str, place: Place) -> tuple[Part, ...]:
    """Return a dotted key as steps from the root, with positions in place of names.

    Raises:
        SweepError: at `place`, where a list has no such item, or what holds the key is no section.
    """
    found: list[Part] = []
    at: Node | None = root
    left = key.split(".")
    while left:
        if at is not None and isinstance(at.value, list):
            position, taken = _item(at, left, place)
            found.append(position)
            at = at.members[position]
        elif at is None or isinstance(at.value, dict):
            found.append(left[0])
            at, taken = (at.items.get(left[0]) if at is not None else None), 1
        else:
            holder = key.removesuffix("." + ".".join(left))
            raise refuse(place, f"{holder.rpartition('.')[2]} is not a section")
        left = left[taken:]
    return tuple(found)


def _item(items: Node, left: Sequence[str], place: Place) -> tuple[int, int]:
    """Return an item's position, and how many parts of the key name it: a name may have dots."""
    names = [str(member.get("name")) for member in items.members]
    for taken in range(len(left), 0, -1):
        name = ".".join(left[:taken])
        if name in names:
            return names.index(name), taken
    if left[0].isdecimal() and int(left[0]) < len(names):
        return int(left[0]), 1
    raise refuse(
        place, f"there is no item {left[0]!r}; use a position from 0" + _or_name(items, names)
    )


def _or_name(items: Node, names: Sequence[str]) -> str:
    named = [name for name, member in zip(names, items.members, strict=True) if member.get("name")]
    return f" or a name: {', '.join(named)}" if named else ""


def put(root: Node, parts: Sequence[Part], value: Node) -> Node:
    """Return the root with a value in place of what stood at these steps, or added there."""
    if not parts:
        return replace(value, key=root.key or value.key)
    first, *rest = parts
    if isinstance(first, int):
        members = list(root.members)
        members[first] = put(members[first], rest, value)
        return replace(root, value=members)
    missing = Node(value={}, place=value.place, key=value.key or value.place)
    return root.put({first: put(root.items.get(first, missing), rest, value)})
