"""YAML as people write it, read with the place of every value: 1e5 is a number.

Knows YAML; not what a sweep may say. A key that is given twice is an error.
"""

import re
from dataclasses import replace

import yaml

from pipelines.sweeps.places import Node, Place, Source
from pipelines.sweeps.refusal import refuse


class _Loader(yaml.SafeLoader):
    """PyYAML's safe one, with numbers such as 1e5."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.begun: set[yaml.Node] = set()
        self.made: dict[yaml.Node, Node] = {}
        """What aliases stand for."""


def _scientific(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    number = float(node.value)
    return int(number) if number.is_integer() else number


_Loader.add_constructor("!scientific", _scientific)
_Loader.add_implicit_resolver(
    "!scientific", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


_IN_ITSELF = "an alias inside what it stands for"


def read(source: Source) -> Node:
    """Return what the text of a source says, each value with its place.

    Raises:
        SweepError: it is no YAML, or says a key twice; gives line and column.
    """
    try:
        loader = _Loader(source.text)
        root = loader.get_single_node()
        if root is None:  # empty
            return Node(value=None, place=Place(source=source, line=1))
        return _node(loader, source, root)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise refuse(_place_of(source, error), f"not valid YAML ({problem})") from None
    except RecursionError:
        place = Place(source=source, line=1)
        raise refuse(place, f"not valid YAML (nested too deeply, or {_IN_ITSELF})") from None


def _node(loader: _Loader, source: Source, node: yaml.Node) -> Node:
    """Return a node of YAML as one of ours; that of an alias is made once."""
    if node in loader.begun and node not in loader.made:
        raise yaml.MarkedYAMLError(problem=_IN_ITSELF, problem_mark=node.start_mark)
    if node not in loader.made:
        loader.begun.add(node)
        place = _place(source, node.start_mark, node.end_mark)
        loader.made[node] = _made(loader, source, node, place)
    return loader.made[node]


def _made(loader: _Loader, source: Source, node: yaml.Node, place: Place) -> Node:
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        _refuse_twice(node)
        loader.flatten_mapping(node)  # the merge key <<
        inside = {}
        for key, value in node.value:
            name = _key(loader, key)
            at = _place(source, key.start_mark, key.end_mark)
            inside[name] = replace(_node(loader, source, value), key=at)
        return Node(value=inside, place=place)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return Node(value=[_node(loader, source, item) for item in node.value], place=place)
    return Node.of(loader.construct_object(node, deep=True), place)


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen = set()
    for key in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
        if key.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark
            )
        seen.add(key.value)


def _key(loader: _Loader, key: yaml.Node) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise yaml.MarkedYAMLError(
            problem="a key must be a single word, not a list or mapping",
            problem_mark=key.start_mark,
        )
    place = Place(source=Source(name=""))
    return next(iter(Node.of({loader.construct_object(key): None}, place).items))


def _place(source: Source, start: yaml.Mark, end: yaml.Mark) -> Place:
    width = end.column - start.column if end.line == start.line else 1
    return Place(source=source, line=start.line + 1, column=start.column + 1, width=max(1, width))


def _place_of(source: Source, error: yaml.YAMLError) -> Place:
    """Return where YAML cannot go on."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return _place(source, mark, mark)
    before = source.text[: getattr(error, "position", 0)]  # a character that no text may hold
    line = before.count("\n") + 1
    return Place(source=source, line=line, column=len(before) - before.rfind("\n"))
