"""What pydantic finds wrong with a sweep, said in our words, with the place of each value.

Knows the sections only by their types; not what their fields mean.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError

from pipelines.sweeps.places import Node, Part
from pipelines.sweeps.refusal import Complaint, MisfitError, said
from pipelines.sweeps.section import Section


def complaints(
    wrong: ValidationError, root: Node, section: type[Section], also: Sequence[str] = ()
) -> list[Complaint]:
    """Return what is wrong, each at its place.

    Args:
        wrong: what pydantic found.
        root: the values that it looked at.
        section: the type that they were checked against.
        also: keys that the root may have beside the section's fields.
    """
    found = []
    meant: set[tuple[Part, ...]] = set()
    errors = [(*_resolved(error["loc"], section), error) for error in wrong.errors()]
    # A misspelt key also leaves its section without the right one: that is one mistake.
    errors.sort(key=lambda one: one[-1]["type"] != "extra_forbidden")
    for field, holder, error in errors:
        if error["type"] == "extra_forbidden":
            keys = [*(holder.model_fields if holder else ()), *(also if len(field) == 1 else ())]
            close = _closest(str(field[-1]), keys)
            meant |= {(*field[:-1], close)} if close else set()
            hint = f"did you mean {close}? Allowed" if close else "allowed"
            text = f"unknown key; {hint} here are {', '.join(keys)}"
            place = root.place_of(field, key=True)
            found.append(Complaint(place=place, text=said(field, text)))
        elif error["type"] != "missing" or field not in meant:
            found += _others(field, error, root)
    return found


def _others(field: tuple[Part, ...], error: Mapping[str, Any], root: Node) -> Iterator[Complaint]:
    """Say what is wrong where the key is known."""
    for inner, text in _texts(error):
        at = (*field, *inner)
        place = root.place_of(at, key=at[-1:] == ("[key]",))
        yield Complaint(place=place, text=said(at, text))


def _texts(error: Mapping[str, Any]) -> Sequence[tuple[Sequence[Part], str]]:
    """Return what an error says, each with the field below the one that pydantic names."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "too_short" and value:
        return []  # its items are wrong, which is said of each
    if kind == "missing":
        return [((), "required, but missing")]
    if kind == "union_tag_invalid":
        tag = str(context["discriminator"]).strip("'")
        return [((tag,), f"is {context['tag']!r}; allowed are {context['expected_tags']}")]
    problem = context.get("error")
    if isinstance(problem, MisfitError):
        return problem.problems
    if kind == "value_error" and isinstance(value, Mapping):
        return [((), str(problem))]
    text = _WORDS.get(kind) or str(problem if kind == "value_error" else error["msg"])
    text = text.replace("Input should be", "must be").replace("String should", "must")
    return [((), f"is {value!r}, {text[0].lower()}{text[1:]}")]


_WORDS = {
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "too_short": "must have at least one item",
}
"""What pydantic says of Python's types, said of YAML's."""


def _resolved(
    location: Sequence[Part], section: type[Section]
) -> tuple[tuple[Part, ...], type[Section] | None]:
    """Return a field without the names of kinds that pydantic puts in, and the section it is in."""
    field: list[Part] = []
    kinds: Sequence[type[Section]] = (section,)
    holder: type[Section] | None = section
    for part in location:
        if len(kinds) > 1 and isinstance(part, str):
            kinds = [kind for kind in kinds if part in tags(kind)]
            continue
        field.append(part)
        if isinstance(part, int):
            continue
        holder = kinds[0] if len(kinds) == 1 else None
        known = holder.model_fields.get(part) if holder else None
        kinds = sections(known.annotation) if known else ()
    return tuple(field), holder


def sections(annotation: Any) -> list[type[Section]]:
    """Return the sections that a field may hold, or hold a list of."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for inner in get_args(annotation) for found in sections(inner)]


def tags(section: type[Section]) -> dict[str, str]:
    """Return each name of a kind (engine, source, kind), with the field that says it."""
    return {
        str(tag): name
        for name, field in section.model_fields.items()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
        for tag in get_args(field.annotation)
    }


def _closest(word: str, known: Sequence[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)
