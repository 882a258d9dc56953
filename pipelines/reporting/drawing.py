"""A chart as a page has it: an SVG that needs no script, and what its points tell as a table.

Knows Vega-Lite specifications and SVG, not what a chart shows. The marks of layers with a tooltip
carry the number of their row of the table (`data-row`); the page's script reads it from there.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import altair as alt
import vl_convert
from markupsafe import Markup

from pipelines.reporting.charts import number
from pipelines.reporting.palette import PAPER

Spec = dict[str, Any]

_SVG = "{http://www.w3.org/2000/svg}"
_SIDES = ("width", "height")
_ROW = "passlaw-row"
_PARTS = ("concat", "hconcat", "vconcat", "layer")
_NAMED = {"white": "#ffffff", "black": "#000000", "gray": "#808080", "grey": "#808080"}
_KEPT_TWICE = 3
"""Shapes that occur so often are stored once."""
_LEAST_SHARE = 0.85
"""A chart shrinks no further than this, which keeps its text readable; then it scrolls."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart, drawn."""

    svg: Markup
    """One svg element; its colours are variables, `var(--c-rrggbb, #rrggbb)`."""
    colours: frozenset[str]
    """The colours that it names, as #rrggbb."""
    description: str
    """What it shows in a sentence, for those who do not see it."""
    columns: tuple[str, ...]
    """What a point tells."""
    rows: tuple[tuple[str, ...], ...]
    """What each point tells, in the order of drawing."""


def draw(name: str, chart: alt.ConcatChart) -> Drawing:
    """Return a chart as SVG; `name` keeps its ids apart from those of others in the page."""
    spec: Spec = chart.to_dict(validate=False)
    points = _Points()
    _number_points(spec, points, spec.get("datasets", {}))
    description = spec.get("description") or _description(spec, len(points.rows))
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(spec))
    colours = _tidy(root, name)
    root.set("role", "img")
    root.set("aria-label", description)
    columns = tuple(points.columns)
    return Drawing(
        svg=Markup(ElementTree.tostring(root, encoding="unicode")),
        colours=frozenset(colours),
        description=description,
        columns=columns,
        rows=tuple(tuple(row.get(name, "") for name in columns) for row in points.rows),
    )


# From the specification: which points tell what.


class _Points:
    """What the points of a chart tell, in one table."""

    def __init__(self) -> None:
        self.columns: dict[str, None] = {}
        self.rows: list[dict[str, str]] = []

    def add(self, told: dict[str, str]) -> str:
        """Take a point in, and return the number of its row."""
        self.columns |= dict.fromkeys(told)
        self.rows.append(told)
        return str(len(self.rows) - 1)


def _number_points(
    spec: Spec, points: _Points, datasets: dict[str, Any], panel: str = "", data: Spec | None = None
) -> None:
    """Give each datum of a layer with a tooltip the number of its row; silence all other marks."""
    panel, data = _title(spec) or panel, spec.get("data", data)
    parts = [part for key in _PARTS for part in spec.get(key, ())]
    for part in parts:
        _number_points(part, points, datasets, panel, data)
    if parts:
        return
    encoding = spec.get("encoding", {})
    tooltip = encoding.pop("tooltip", None)
    told = [tooltip] if isinstance(tooltip, dict) else tooltip or []
    mark = spec["mark"]
    spec["mark"] = {**(mark if isinstance(mark, dict) else {"type": mark}), "aria": bool(told)}
    if not told or data is None:
        return
    name = f"{data.get('name', 'values')}-{len(points.rows)}"
    rows = data["values"] if "values" in data else datasets[data["name"]]
    datasets[name] = [{**row, _ROW: points.add(_telling(row, told, panel))} for row in rows]
    spec["data"] = {"name": name}
    encoding["description"] = {"field": _ROW, "type": "nominal"}


def _telling(row: dict[str, Any], tooltip: list[Spec], panel: str) -> dict[str, str]:
    values = {
        each.get("title") or each["field"].replace("_", " "): row.get(each["field"])
        for each in tooltip
    }
    told = {"panel": panel} if panel else {}
    return told | {title: _word(value) for title, value in values.items()}


def _word(value: object) -> str:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return number(value)
    return str(value)


def _title(spec: Spec) -> str:
    title = spec.get("title") or ""
    text = title.get("text", "") if isinstance(title, dict) else title
    return " ".join(text) if isinstance(text, list) else str(text)


def _description(spec: Spec, points: int) -> str:
    """Return a sentence on a chart that came without one."""
    shown = " against ".join(filter(None, (_axis_title(spec, axis) for axis in ("y", "x"))))
    panels = list(dict.fromkeys(filter(None, map(_title, spec.get("concat", ())))))
    of = f" for {', '.join(panels)}" if panels else ""
    count = f"; {number(points)} points" if points else ""
    return f"Chart of {shown or 'values'}{of}{count}."


def _axis_title(spec: Spec, axis: str) -> str | None:
    encodings = (unit.get("encoding", {}).get(axis, {}) for unit in _units(spec))
    return next((found["title"] for found in encodings if found.get("title")), None)


def _units(spec: Spec) -> Iterator[Spec]:
    parts = [part for key in _PARTS for part in spec.get(key, ())]
    if not parts:
        yield spec
    for part in parts:
        yield from _units(part)


# From SVG as Vega writes it to one that shares a page: colours by name, shapes once, few digits.


def _tidy(root: ElementTree.Element, name: str) -> set[str]:
    """Change an SVG in place, and return its colours."""
    _drop_outside(root)
    _prune(root)
    colours: set[str] = set()
    # Vega counts on from chart to chart: ids of our own make a page the same each time.
    ids = {each: f"{name}-{at}" for at, each in enumerate(_ids(root))}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in ("fill", "stroke"):
            if found := _colour(element.get(key, "")):
                colours.add(found)
                element.set(key, f"var(--c-{found[1:]},{found})")
        if "id" in element.attrib:
            element.set("id", ids[element.attrib["id"]])
        if clip := element.get("clip-path"):
            element.set("clip-path", f"url(#{ids[clip.removeprefix('url(#').rstrip(')')]})")
    _share_shapes(root, name)
    root.set("class", "drawn")
    root.set("style", f"min-width:{_LEAST_SHARE * float(root.attrib['width']):.0f}px")
    return colours


def _ids(root: ElementTree.Element) -> Iterator[str]:
    return filter(None, (element.get("id") for element in root.iter()))


def _drop_outside(root: ElementTree.Element) -> None:
    """Drop points that their panel cuts off, which nobody can point at; the table has them."""
    sizes = {}
    for clip in root.iter(f"{_SVG}clipPath"):
        sizes[f"url(#{clip.get('id')})"] = [float(clip[0].get(side, 0)) for side in _SIDES]
    for group in root.iter(f"{_SVG}g"):
        size = sizes.get(group.get("clip-path", ""))
        for mark in list(group) if size else ():
            place = re.match(r"translate\(([-\d.e]+),([-\d.e]+)\)", mark.get("transform", ""))
            if place and not all(
                -1 <= float(at) <= most + 1
                for at, most in zip(place.groups(), size or (), strict=True)
            ):
                group.remove(mark)  # fmt: skip


def _prune(element: ElementTree.Element) -> None:
    """Drop what is not seen, and what only Vega reads."""
    children: list[ElementTree.Element] = []
    for child in element:
        _prune(child)
        if _unseen(child):
            continue
        plain = child.tag.endswith("}g") and not child.attrib
        children.extend(child if plain else [child])
    element[:] = children
    row = element.get("aria-label", "")
    element.attrib = {key: _short(value) for key, value in element.items() if _kept(key, value)}
    if row.isdigit():
        element.set("data-row", row)
    if "stroke" not in element.attrib:
        element.attrib.pop("stroke-width", None)


def _unseen(element: ElementTree.Element) -> bool:
    """Whether an element draws nothing: hidden, without a path, or the paper that a page has."""
    return (
        element.get("display") == "none"
        or element.get("d") in ("", "M0,0h0v0h0Z")
        or (element.tag.endswith("}rect") and _colour(element.get("fill", "")) == PAPER)
        or (element.tag.endswith("}g") and not len(element))
    )


def _kept(key: str, value: str) -> bool:
    if key in ("class", "role", "version", "pointer-events") or key.startswith("aria-"):
        return False
    return (key, value) not in (("opacity", "1"), ("transform", "translate(0,0)"))


def _short(value: str) -> str:
    """Round numbers to hundredths of a pixel."""
    return re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", value)


def _colour(value: str) -> str | None:
    """Return "#rrggbb" of a colour as Vega writes it; None where it names none."""
    value = _NAMED.get(value, value).lower()
    if levels := re.fullmatch(r"rgb\((\d+), ?(\d+), ?(\d+)\)", value):
        return "#" + "".join(f"{int(level):02x}" for level in levels.groups())
    return value if re.fullmatch("#[0-9a-f]{6}", value) else None


def _share_shapes(root: ElementTree.Element, name: str) -> None:
    """Store a shape that marks share once, and place it by reference."""
    marks = [mark for mark in root.iter("path") if "translate(" in mark.get("transform", "")]
    often = Counter(mark.attrib["d"] for mark in marks)
    shapes = [shape for shape, times in often.items() if times >= _KEPT_TWICE]
    ids = {shape: f"{name}-s{at}" for at, shape in enumerate(shapes)}
    for mark in marks:
        if mark.attrib["d"] in ids:
            mark.tag = "use"
            mark.set("href", f"#{ids[mark.attrib.pop('d')]}")
    defs = ElementTree.Element("defs")
    defs.extend(ElementTree.Element("path", id=key, d=shape) for shape, key in ids.items())
    root.insert(0, defs)
