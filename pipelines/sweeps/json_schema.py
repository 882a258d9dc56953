"""The JSON schema of a sweep file (draft 2020-12), with which editors complete and check it.

It accepts every sweep that can be read, with kinds left out, includes and grids; it refuses
unknown keys, and values of a wrong type or range. What only a look at the whole sweep tells, it
cannot know: that two models have one name, or that `fit.k` is larger than `allocation.n`.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.sweeps import kinds
from pipelines.sweeps.config import Sweep
from pipelines.sweeps.diagnosis import sections, tags
from pipelines.sweeps.section import Section

Schema = dict[str, Any]

_INCLUDE: Schema = {
    "description": "Sweep files that this one builds on, relative to it. What is said later wins: "
    "mappings are merged, lists replaced; models and tasks are joined by name.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}},
    ],
}
_PARTIAL = {"anyOf": [{"required": ["include"]}, {"required": ["grid"]}]}
"""Sweeps of which other files, or the points of a grid, say a part."""


_SAID = {
    "name": "What its samples, scores and laws are stored under.",
    "engine": "What draws the samples; of a model, the sweep's own where left out.",
    "source": "Where the problems come from; file where left out and a path or dataset is given.",
    "kind": "fixed where n is given, else until.",
    "placement": "What one replica needs of the machine or cluster.",
}
"""What many sections have in common."""


def sweep_schema() -> Schema:
    """Return the schema of a sweep file."""
    made = Sweep.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Schema] = made["$defs"]
    classes = {found.__name__: found for found in _all_sections(Sweep)}
    required = {}
    for name, definition in definitions.items():
        required[name] = _finish(definition, classes[name])
    _finish(made, Sweep)
    definitions |= _dispatches(required)
    properties: Schema = made["properties"]
    for field, kind in (("models", "Model"), ("tasks", "Task")):
        properties[field]["items"] = {"$ref": f"#/$defs/{kind}"}
    properties["allocation"] = {
        "$ref": "#/$defs/Allocation",
        "description": descriptions(Sweep)["allocation"],
    }
    properties |= {"engine": _engine(), "include": _INCLUDE, "grid": _grid(list(properties))}
    properties["passlaw"] = {"description": "What a run records of itself; not read."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A sweep of passlaw",
        "description": Sweep.__doc__,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "allOf": [*_engines_left_out(required), _complete()],
        "$defs": definitions,
    }


def _all_sections(section: type[Section]) -> Iterator[type[Section]]:
    """Yield a section and all that it may hold."""
    yield section
    for field in section.model_fields.values():
        for inner in sections(field.annotation):
            yield from _all_sections(inner)


def _finish(definition: Schema, section: type[Section]) -> list[str]:
    """Describe a section's fields, and take out what it requires, which is returned.

    Only a sweep that is complete without includes and grids must have it.
    """
    definition.pop("title", None)
    definition["description"] = " ".join((section.__doc__ or "").split())
    texts = descriptions(section)
    for name, field in definition["properties"].items():
        field.pop("title", None)
        if name in texts or name in _SAID:
            field["description"] = texts.get(name, _SAID.get(name))
        if isinstance(field.get("default"), dict):
            del field["default"]
    kind = set(tags(section).values())
    return [name for name in definition.pop("required", []) if name not in kind]


def descriptions(section: type[Section]) -> dict[str, str]:
    """Return the docstring below each field of a section, and of those that it derives from."""
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if not issubclass(base, Section) or base is Section:
            continue
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(said))),
                ):
                    found[name] = " ".join(said.split())
    return found


def _dispatches(required: Mapping[str, list[str]]) -> dict[str, Schema]:
    """Return what a model, task and allocation may say, by their kind; and what each must."""
    made: dict[str, Schema] = {}
    for name, field, kind in (
        ("Model", "models", "engine"),
        ("Task", "tasks", "source"),
        ("Allocation", "allocation", "kind"),
    ):
        of_kind = _by_tag(field)
        may = {tag: _ref(section) for tag, section in of_kind.items()}
        must = {tag: _needs(section, required) for tag, section in of_kind.items()}
        made[name] = _kind_of(kind, may)
        made[f"Complete{name}"] = _kind_of(kind, must)
    tasks, allocations = _by_tag("tasks"), _by_tag("allocation")
    file, arithmetic = (
        {"allOf": [_ref(tasks[tag]), _needs(tasks[tag], required)]}
        for tag in ("file", "arithmetic")
    )
    is_read = {"anyOf": [{"required": ["path"]}, {"required": ["dataset"]}]}
    is_fixed, fixed, until = {"required": ["n"]}, allocations["fixed"], allocations["until"]
    made["Task"]["allOf"].append(_without("source", _any_of(tasks)))
    made["CompleteTask"]["allOf"].append(_without("source", _either(is_read, file, arithmetic)))
    made["Allocation"]["allOf"].append(
        _without("kind", _either(is_fixed, _ref(fixed), _ref(until)))
    )
    return made


def _by_tag(field: str) -> dict[str, type[Section]]:
    """Return the sections that a field may hold, by the name of their kind."""
    found = sections(Sweep.model_fields[field].annotation)
    return {tag: section for section in found for tag in tags(section)}


def _kind_of(kind: str, told: Mapping[str, Schema]) -> Schema:
    """Return a schema that asks of each kind its own."""
    cases = [
        {"if": {"properties": {kind: {"const": tag}}, "required": [kind]}, "then": then}
        for tag, then in told.items()
    ]
    named = {kind: {"enum": list(told), "description": _SAID[kind]}}
    return {"type": "object", "properties": named, "allOf": cases}


def _needs(section: type[Section], required: Mapping[str, list[str]]) -> Schema:
    """Return what a section must say, where no other file says a part of it."""
    needs: Schema = {"required": required[section.__name__]}
    if {"path", "dataset"} <= section.model_fields.keys():
        needs["oneOf"] = [
            {"required": [place], "properties": {place: {"type": "string"}}}
            for place in ("path", "dataset")
        ]
    return needs


def _either(condition: Schema, then: Schema, otherwise: Schema) -> Schema:
    return {"if": condition, "then": then, "else": otherwise}


def _any_of(of_kind: Mapping[str, type[Section]]) -> Schema:
    return {"anyOf": [_ref(section) for section in of_kind.values()]}


def _without(key: str, then: Schema) -> Schema:
    """Ask something where a key is not there."""
    return {"if": {"not": {"required": [key]}}, "then": then}


def _engines_left_out(required: Mapping[str, list[str]]) -> list[Schema]:
    """Return what models say that name no engine: that of the sweep is meant, or the usual one."""
    engines = _by_tag("models")
    cases = []
    for tag, section in engines.items():
        named: Schema = {"properties": {"engine": {"const": tag}}, "required": ["engine"]}
        usual = {"not": {"anyOf": [{"required": ["engine"]}, {"required": ["include"]}]}}
        meant = {"anyOf": [named, usual]} if tag == kinds.ENGINE else named
        complete = {"if": {"not": _PARTIAL}, "then": _models(_needs(section, required))}
        cases.append({"if": meant, "then": {"allOf": [_models(_ref(section)), complete]}})
    unknown = {"required": ["include"], "not": {"required": ["engine"]}}
    return [*cases, {"if": unknown, "then": _models(_any_of(engines))}]


def _models(told: Schema) -> Schema:
    """Ask something of each model that names no engine."""
    return {"properties": {"models": {"items": _without("engine", told)}}}


def _complete() -> Schema:
    """Return what a sweep must say, unless includes or a grid say a part of it."""
    complete = {
        "required": ["name", "models", "tasks"],
        "properties": {
            "models": {"items": {"$ref": "#/$defs/CompleteModel"}},
            "tasks": {"items": {"$ref": "#/$defs/CompleteTask"}},
            "allocation": {"$ref": "#/$defs/CompleteAllocation"},
        },
    }
    return {"if": {"not": _PARTIAL}, "then": complete}


def _engine() -> Schema:
    return {
        "description": "The engine of every model that names none of its own.",
        "enum": list(_by_tag("models")),
        "default": kinds.ENGINE,
    }


def _grid(fields: list[str]) -> Schema:
    """Return what a grid may say: keys that begin with a field of the sweep."""
    varied = "|".join(name for name in fields if name not in ("name", "run"))
    keys = rf"^({varied}|engine)(\.|$)"
    return {
        "description": "One sweep file as many runs: for each dotted key a list of values, every "
        "combination of which is a run; or a list of points, each with values, perhaps a name.",
        "anyOf": [
            {
                "type": "object",
                "propertyNames": {"pattern": keys},
                "additionalProperties": {"type": "array", "minItems": 1},
                "minProperties": 1,
            },
            {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "propertyNames": {"anyOf": [{"const": "name"}, {"pattern": keys}]},
                    "minProperties": 1,
                },
            },
            {"type": "null"},
        ],
    }


def _ref(section: type[Section]) -> Schema:
    return {"$ref": f"#/$defs/{section.__name__}"}
