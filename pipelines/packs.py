"""What a pack is: one file with the rows of many units of a cell, by problem and then sample id.

Pure. Knows units and where the rows of each lie; not files, nor what the rows hold.
"""

import hashlib
import json
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.units import Cell, Unit

_PREFIX = "pack-"
"""Begins the name of every pack, and of no unit."""

Ranges = list[tuple[int, int]]
"""Positions of rows, [first, end)."""


def is_pack(key: str) -> bool:
    """Whether a file's name is that of a pack."""
    return key.rpartition("/")[2].startswith(_PREFIX)


@dataclass(frozen=True, kw_only=True)
class Pack:
    """The units of a pack, and what was recorded of each."""

    generation: int
    """Higher than that of every pack that its cell had when it was made."""
    full: bool
    """Whether it is so large that it is left alone."""
    units: tuple[Unit, ...]
    facts: tuple[Mapping[str, Any], ...]
    """For each unit, what its own file said."""

    @property
    def name(self) -> str:
        """Its name: the same units packed again get the same one, with a newer generation not."""
        names = sorted(unit.name for unit in self.units)
        content = json.dumps([self.generation, self.units[0].cell, names])
        return _PREFIX + hashlib.blake2b(content.encode(), digest_size=12).hexdigest()

    def to_facts(self) -> dict[str, Any]:
        """Return what its footer says, which `from_facts` reads back."""
        units = [{"unit": unit.to_dict(), **facts} for unit, facts in self._pairs()]
        return {"generation": self.generation, "full": self.full, "units": units}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Pack":
        """Rebuild a pack from a footer; raises KeyError, TypeError or ValueError on anything else.

        Raises:
            ValueError: it has no unit, or units of several cells.
        """
        entries = [dict(entry) for entry in facts["units"]]
        units = tuple(Unit.from_dict(entry.pop("unit")) for entry in entries)
        if len({unit.cell for unit in units}) != 1:
            raise ValueError("a pack must hold units of one cell")
        return cls(
            generation=int(facts["generation"]),
            full=bool(facts["full"]),
            units=units,
            facts=tuple(entries),
        )

    def _pairs(self) -> Iterable[tuple[Unit, Mapping[str, Any]]]:
        return zip(self.units, self.facts, strict=True)

    @cached_property
    def _places(self) -> dict[tuple[str, int], int]:
        """The first row of each problem's samples of each unit, by problem and first sample id."""
        pieces = sorted(
            (problem, unit.start, unit.stop) for unit in self.units for problem in unit.problems
        )
        places, at = {}, 0
        for problem, start, stop in pieces:
            places[problem, start] = at
            at += stop - start
        return places

    def ranges(self, unit: Unit) -> Ranges:
        """Return where a unit's rows lie, in the unit's order."""
        size = unit.stop - unit.start
        firsts = [self._places[problem, unit.start] for problem in unit.problems]
        return joined((first, first + size) for first in firsts)

    def first_row(self, unit: Unit, problem: str) -> int:
        """Return where a problem's samples of a unit begin."""
        return self._places[problem, unit.start]

    def other_rows(self, units: Iterable[Unit]) -> Ranges:
        """Return where the rows lie that belong to none of these units, in order."""
        names = {unit.name for unit in units}
        left_out = [unit for unit in self.units if unit.name not in names]
        return joined(sorted(piece for unit in left_out for piece in self.ranges(unit)))


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges with those put together that follow on one another."""
    found: Ranges = []
    for first, end in ranges:
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    return found


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A file that holds units: a pack, or a unit's own."""

    key: str
    """Where it is."""
    name: str
    """Its name, as what it holds says."""
    units: tuple[Unit, ...]
    facts: tuple[Mapping[str, Any], ...]
    """For each unit."""
    pack: Pack | None
    """None: a unit's own file."""

    @classmethod
    def of_pack(cls, key: str, pack: Pack) -> "Holder":
        """Return a pack's file."""
        return cls(key=key, name=pack.name, units=pack.units, facts=pack.facts, pack=pack)

    @classmethod
    def of_unit(cls, key: str, unit: Unit, facts: Mapping[str, Any]) -> "Holder":
        """Return a unit's own file."""
        return cls(key=key, name=unit.name, units=(unit,), facts=(facts,), pack=None)

    @property
    def cell(self) -> Cell:
        """The cell of all its units."""
        return self.units[0].cell

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(unit.samples for unit in self.units)

    def first_rows(self, unit: Unit) -> list[int]:
        """Return where a unit's samples of each of its problems begin."""
        if self.pack is not None:
            return [self.pack.first_row(unit, problem) for problem in unit.problems]
        size = unit.stop - unit.start
        return list(range(0, unit.samples, size))


def packing_order(sources: Iterable[tuple[Holder, Iterable[Unit]]]) -> NDArray[np.int64]:
    """Return the order that makes a pack of the rows of some files, put one after the other.

    Args:
        sources: the files, each with those of its units that go into the pack.

    Returns:
        [rows] positions, as `take` wants them.
    """
    pieces, at = [], 0
    for holder, units in sources:
        pieces += [
            (problem, unit.start, at + first, unit.stop - unit.start)
            for unit in units
            for problem, first in zip(unit.problems, holder.first_rows(unit), strict=True)
        ]
        at += holder.rows
    order = [np.arange(first, first + size) for _, _, first, size in sorted(pieces)]
    return np.concatenate(order) if order else np.empty(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Which file each unit of a cell is read from."""

    found: list[tuple[Unit, Mapping[str, Any], Holder]]
    """Each unit once, by name."""
    superseded: list[Holder]
    """Files of which every unit is read from another one."""
    overlapping: list[tuple[Holder, str]]
    """Files that hold samples which another file holds in another unit, and which."""


def settle(holders: Iterable[Holder], *, renewed: bool) -> Settled:
    """Say which file each unit is read from, so that each sample is there once.

    Of two packs it is the newer one, and of a pack and the unit's own file the pack, whose rows are
    those of the file; but if the kind may be `renewed`, as scores are, a file of which other things
    were recorded than in the pack is newer.
    """

    def rank(holder: Holder) -> tuple[int, str]:
        return -(holder.pack.generation if holder.pack else 0), holder.key

    found: dict[str, tuple[Unit, Mapping[str, Any], Holder]] = {}
    held: dict[str, list[tuple[int, int]]] = {}
    overlapping: list[tuple[Holder, str]] = []
    ranked = sorted(holders, key=rank)
    for holder in ranked:
        items = list(zip(holder.units, holder.facts, strict=True))
        new = [(unit, facts) for unit, facts in items if unit.name not in found]
        clash = next(filter(None, (_clash(unit, held) for unit, _ in new)), None)
        if clash is not None:
            overlapping.append((holder, clash))
            continue
        for unit, facts in new:
            found[unit.name] = (unit, facts, holder)
            for problem in unit.problems:
                insort(held.setdefault(problem, []), (unit.start, unit.stop))
        if renewed and holder.pack is None and items[0][1] != found[holder.name][1]:
            found[holder.name] = (*items[0], holder)
    read = {holder.key for _, _, holder in found.values()} | {item.key for item, _ in overlapping}
    return Settled(
        found=[found[name] for name in sorted(found)],
        superseded=[holder for holder in ranked if holder.key not in read],
        overlapping=overlapping,
    )


def _clash(unit: Unit, held: Mapping[str, Sequence[tuple[int, int]]]) -> str | None:
    """Return which samples of a unit are held already; the ranges held are sorted and disjoint."""
    for problem in unit.problems:
        ranges = held.get(problem, ())
        after = bisect_left(ranges, (unit.stop, 0))
        if after and ranges[after - 1][1] > unit.start:
            start, stop = ranges[after - 1]
            return (
                f"samples {max(start, unit.start)} to {min(stop, unit.stop) - 1} of problem "
                f"{problem} are in another file too"
            )
    return None
