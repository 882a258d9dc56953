"""What sweep.yaml records of the imports that made a run: of which files, and how far each came.

Knows the record; not how anything is read or written.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from pipelines.units import Cell


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import."""

    key: str
    """A hash of the files and of how they were read: the same import has the same."""
    files: tuple[str, ...]
    format: str
    options: tuple[str, ...]
    """Of `passlaw import`, beside the files and the run: with them it reads the same again."""
    done: bool
    """False: it was interrupted, and the same command completes it."""
    samples: int
    """That it brought, in all cells together."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """All imports of a run; none where its samples were drawn."""

    imports: tuple[Import, ...] = ()
    cells: tuple[Cell, ...] = ()
    """Every model on each task of which something was imported."""
    counts_alone: tuple[Cell, ...] = ()
    """Cells of which only counts were imported, and no samples."""

    @property
    def unfinished(self) -> Import | None:
        """The import that was interrupted, if one was."""
        return next((each for each in self.imports if not each.done), None)

    @property
    def samples(self) -> int:
        """Samples that all imports brought."""
        return sum(each.samples for each in self.imports)

    def find(self, key: str) -> Import | None:
        """Return the import with a key, if there is one."""
        return next((each for each in self.imports if each.key == key), None)

    def having(self, one: Import) -> Self:
        """Return the record with one import added, or changed if it is there."""
        if self.find(one.key) is None:
            return replace(self, imports=(*self.imports, one))
        return replace(
            self, imports=tuple(one if each.key == one.key else each for each in self.imports)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads back."""
        return {
            "imports": [
                asdict(each) | {"files": list(each.files), "options": list(each.options)}
                for each in self.imports
            ],
            "cells": [list(cell) for cell in self.cells],
            "counts_alone": [list(cell) for cell in self.counts_alone],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a record; an empty mapping gives an empty one."""
        return cls(
            imports=tuple(
                Import(
                    **{
                        **each,
                        "files": tuple(each["files"]),
                        "options": tuple(each.get("options", ())),
                    }
                )
                for each in values.get("imports", ())
            ),
            cells=tuple(Cell(*cell) for cell in values.get("cells", ())),
            counts_alone=tuple(Cell(*cell) for cell in values.get("counts_alone", ())),
        )
