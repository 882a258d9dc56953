"""Kinds that may be left out: which engine, source or allocation is meant where none is named.

Knows the keys that tell; not what the sections of a kind may say.
"""

from collections.abc import Callable
from dataclasses import replace

from pipelines.sweeps.places import Node

ENGINE = "transformers"
"""The engine of models, where neither they nor the top of the sweep name one."""


def fill(root: Node) -> Node:
    """Name every kind, so that errors speak of one kind only; `engine` at the top goes away."""
    engine = root.items.get("engine", Node(value=ENGINE, place=root.place))
    filled = root.without("engine")
    for field, kinds in (
        ("models", lambda model: {"engine": replace(engine, key=engine.key or model.place)}),
        ("tasks", lambda task: {"source": _told(task, source_of(set(task.items)))}),
    ):
        if field in filled.items:
            filled = filled.put({field: _each(filled.items[field], kinds)})
    allocation = filled.items.get("allocation")
    if allocation is not None and isinstance(allocation.value, dict):
        kind = _told(allocation, allocation_of(set(allocation.items)))
        filled = filled.put({"allocation": _with_default(allocation, {"kind": kind})})
    return filled


def source_of(keys: set[str]) -> str:
    """Return the source of a task that has these keys and names none."""
    return "file" if keys & {"path", "dataset"} else "arithmetic"


def allocation_of(keys: set[str]) -> str:
    """Return the kind of an allocation that has these keys and names none."""
    return "fixed" if "n" in keys else "until"


def _each(items: Node, kinds: Callable[[Node], dict[str, Node]]) -> Node:
    if not isinstance(items.value, list):
        return items
    members = [
        _with_default(item, kinds(item)) if isinstance(item.value, dict) else item
        for item in items.value
    ]
    return replace(items, value=members)


def _with_default(section: Node, kind: dict[str, Node]) -> Node:
    return replace(section, value=kind | section.items)


def _told(section: Node, kind: str) -> Node:
    return Node(value=kind, place=section.place)
