"""Errors of a sweep file: each in a line that begins with its place, all of them at once.

Knows how they are shown; not what a sweep may say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.errors import UserError
from pipelines.sweeps.places import Part, Place

MOST_SHOWN = 10
"""Errors that are shown of one sweep."""


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """One thing that is wrong."""

    place: Place
    text: str
    """The field, what is wrong with it, and what is allowed."""

    def __str__(self) -> str:
        """In one line."""
        return f"{self.place}: {' '.join(self.text.split())}"


class SweepError(UserError):
    """What is wrong with a sweep: a line for each error, `FILE:LINE:COLUMN: FIELD: TEXT`."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        self.complaints = _distinct(complaints)
        lines = [str(complaint) for complaint in self.shown]
        # Not UserError's own, which would make one line of all.
        Exception.__init__(self, "\n".join([*lines, *([self.more] if self.more else [])]))

    @property
    def shown(self) -> tuple[Complaint, ...]:
        """The first of them."""
        return self.complaints[:MOST_SHOWN]

    @property
    def more(self) -> str:
        """How many are not shown; empty where all are."""
        left = len(self.complaints) - MOST_SHOWN
        return f"... and {left} more errors" if left > 0 else ""


def refuse(place: Place, text: str) -> SweepError:
    """Return the error of one complaint."""
    return SweepError([Complaint(place=place, text=text)])


Problem = tuple[Sequence[Part], str]
"""A field below a section, and what is wrong with it."""


class MisfitError(ValueError):
    """Raised by a section's validator: parts of it that do not fit together, each with its field.

    What it says does not show the section's other values: they may hold a secret.
    """

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(said(field, text) for field, text in problems))


def said(field: Sequence[Part], text: str) -> str:
    """Return a text with the field that it is about in front."""
    name = ".".join(str(part) for part in field)
    return f"{name}: {text}" if name else text


def _distinct(complaints: Iterable[Complaint]) -> tuple[Complaint, ...]:
    """Return each complaint once, file by file, and in a file line by line.

    The points of a grid share most of what they say, and so its errors; as do the models that take
    their engine from the top of the sweep.
    """
    first: dict[object, Complaint] = {}
    for complaint in complaints:
        field, _, text = complaint.text.partition(": ")
        placed = complaint.place.line is not None
        about = (complaint.place, field.rpartition(".")[2]) if placed else field
        first.setdefault((about, text), complaint)
    files: dict[str, int] = {}
    for complaint in first.values():
        files.setdefault(complaint.place.source.name, len(files))

    def order(complaint: Complaint) -> tuple[int, int, int]:
        place = complaint.place
        return files[place.source.name], place.line or 0, place.column

    return tuple(sorted(first.values(), key=order))
