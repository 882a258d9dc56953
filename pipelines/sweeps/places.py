"""Values with their places: what a sweep file says, and the file, line and column of each value.

Knows nothing of what a sweep may say. A node is never changed: each verb returns a new one, so that
a value keeps its place through includes, overrides and grids.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

Part = str | int
"""A step into a node: a key of a mapping, or a position in a list."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where values were written: a file, or an override."""

    name: str
    """As the user knows it: the path of the file, or `-o KEY`."""
    folder: Path | None = None
    """What the paths written there are relative to; None: they are left as they are."""
    text: str = ""
    """What the file holds; empty where there are no lines."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a value begins."""

    source: Source
    line: int | None = None
    """From 1; None where the source has no lines."""
    column: int = 1
    """From 1, as editors count."""
    width: int = 1
    """How many characters of the line it takes."""

    def __str__(self) -> str:
        """As editors and compilers write it: FILE:LINE:COLUMN."""
        if self.line is None:
            return self.source.name
        return f"{self.source.name}:{self.line}:{self.column}"

    def excerpt(self) -> list[str]:
        """Return the line with a caret below the value; nothing where there are no lines.

        A password or query in an address is starred.
        """
        lines = self.source.text.splitlines()
        if self.line is None or self.line > len(lines):
            return []
        line = _SECRET.sub(lambda found: "*" * len(found.group()), lines[self.line - 1])
        number = str(self.line)
        lead = re.sub(r"[^\t]", " ", line[: self.column - 1])
        caret = "^" * max(1, min(self.width, len(line) - self.column + 1))
        return [f"  {number} | {line}", f"  {' ' * len(number)} | {lead}{caret}"]


_SECRET = re.compile(r"(?<=://)[^/\s\"']*(?=@)|(?<=\?)[^\s\"']+")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value, where it stands, and where the key that it belongs to stands."""

    value: "bool | int | float | str | dict[str, Node] | list[Node] | None"
    place: Place
    key: Place | None = None
    """None outside a mapping."""

    @classmethod
    def of(cls, value: Any, place: Place) -> "Node":
        """Make a node of plain values, all at one place; what JSON does not know becomes text."""
        if isinstance(value, Mapping):
            inside = {_text(key): Node.of(item, place) for key, item in value.items()}
            return Node(value=inside, place=place)
        if isinstance(value, list | tuple):
            return Node(value=[Node.of(item, place) for item in value], place=place)
        if value is None or isinstance(value, bool | int | float | str):
            return Node(value=value, place=place)
        return Node(value=str(value), place=place)

    @property
    def items(self) -> "dict[str, Node]":
        """What a mapping holds; nothing where it is none."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def members(self) -> "list[Node]":
        """What a list holds; nothing where it is none."""
        return self.value if isinstance(self.value, list) else []

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def get(self, key: str) -> Any:
        """Return the plain value of a key; None where it is not there."""
        return self.items[key].plain() if key in self.items else None

    def put(self, changes: "Mapping[str, Node]") -> Self:
        """Return the mapping with these values in place of its own, or added."""
        return replace(self, value={**self.items, **changes})

    def without(self, *keys: str) -> Self:
        """Return the mapping without some of its keys."""
        return replace(self, value={k: item for k, item in self.items.items() if k not in keys})

    def place_of(self, parts: Sequence[Part], *, key: bool = False) -> Place:
        """Return where a value stands, or its key; where it is not there, what would hold it."""
        at = self
        for part in parts:
            inside: Any = at.items if isinstance(part, str) else dict(enumerate(at.members))
            if part not in inside:
                return at.place
            at = inside[part]
        return at.key if key and at.key is not None else at.place


def _text(key: Any) -> str:
    """Return a key as JSON would write it."""
    if isinstance(key, str):
        return key
    return json.dumps(key) if key is None or isinstance(key, bool | int | float) else str(key)
