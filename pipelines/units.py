"""What a unit of work is: which samples of which problems, its name, and the samples' seeds.

Pure. A unit is one cell x a block of problems x a range of sample ids. Its name and every seed
are functions of those alone, so work that is repeated gives the same samples under the same name.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Cell(NamedTuple):
    """One model on one task."""

    model: str
    task: str


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Sample ids [start, stop) of each of some problems of a cell."""

    cell: Cell
    problems: tuple[str, ...]
    start: int
    stop: int

    @property
    def samples(self) -> int:
        """How many samples it holds."""
        return len(self.problems) * (self.stop - self.start)

    @property
    def name(self) -> str:
        """Its name, unique in its cell; sorts by sample id."""
        block = hashlib.blake2b("\0".join(self.problems).encode(), digest_size=6).hexdigest()
        return f"{self.start:09d}-{self.stop:09d}-{block}"

    def halves(self) -> tuple["Unit", "Unit"]:
        """Split its problems in two, to find the one that an engine cannot take."""
        middle = len(self.problems) // 2
        parts = (self.problems[:middle], self.problems[middle:])
        first, second = (
            Unit(cell=self.cell, problems=part, start=self.start, stop=self.stop) for part in parts
        )
        return first, second

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Unit":
        """Rebuild a unit; raises KeyError or TypeError on anything else."""
        return cls(
            cell=Cell(*values["cell"]),
            problems=tuple(values["problems"]),
            start=int(values["start"]),
            stop=int(values["stop"]),
        )


def seeds(
    run_seed: int, cell_key: str, problem_id: str, start: int, stop: int
) -> NDArray[np.int64]:
    """Return the 63-bit seeds of sample ids [start, stop): counter-based, so any can be recomputed.

    The Philox key is a hash of run seed, cell and problem, and the sample id is the counter, so no
    two samples share a stream and a range costs the same wherever it starts.
    """
    key = _hash(16, run_seed, cell_key, problem_id)
    generator = np.random.Philox(key=key)
    generator.advance(start // 4)  # a Philox counter gives four words
    words = generator.random_raw(stop - start + start % 4)[start % 4 :]
    return np.asarray(words >> np.uint64(1), dtype=np.int64)


def stream(run_seed: int, cell_key: str, problem_id: str) -> int:
    """Return a problem's base, below 2**62, for engines that number seeds from a base.

    Sample id i has the seed `stream` + i: no two samples of a problem share one, and of two
    problems only if their bases lie closer than their samples are many.
    """
    return _hash(8, run_seed, cell_key, problem_id, "stream") >> 2


def _hash(size: int, *parts: object) -> int:
    name = "\0".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=size).digest(), "little")


def covered(units: Iterable[Unit]) -> dict[str, list[tuple[int, int]]]:
    """Return, for each problem, the merged ranges of sample ids that the units hold.

    Raises:
        ValueError: two units hold the same sample.
    """
    ranges: dict[str, list[tuple[int, int]]] = {}
    for unit in units:
        for problem in unit.problems:
            ranges.setdefault(problem, []).append((unit.start, unit.stop))
    for problem, pieces in ranges.items():
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(pieces):
            if merged and start < merged[-1][1]:
                raise ValueError(f"problem {problem}: sample {start} is in two units")
            if merged and start == merged[-1][1]:
                merged[-1] = (merged[-1][0], stop)
            else:
                merged.append((start, stop))
        ranges[problem] = merged
    return ranges


def contiguous(ranges: Sequence[tuple[int, int]]) -> int:
    """Return how many samples there are from id 0 on, without a gap; ranges as `covered` gives."""
    return ranges[0][1] if ranges and ranges[0][0] == 0 else 0


def missing(
    cell: Cell,
    wanted: Mapping[str, int],
    held: Mapping[str, Sequence[tuple[int, int]]],
    unit_samples: int,
) -> list[Unit]:
    """Return the units that complete every problem of a cell to [0, wanted).

    Problems that miss the same range share units of at most `unit_samples` samples, in the order
    of `wanted`; a range too long for one unit is cut. Interrupted work therefore goes on in the
    units in which it would have been done.
    """
    gaps: dict[tuple[int, int], list[str]] = {}
    for problem, stop in wanted.items():
        at = 0
        for held_start, held_stop in [*held.get(problem, ()), (stop, stop)]:
            end = min(held_start, stop)
            for start in range(at, end, unit_samples):
                gaps.setdefault((start, min(start + unit_samples, end)), []).append(problem)
            at = max(at, held_stop)
    units = []
    for (start, stop), problems in sorted(gaps.items()):
        block = max(1, unit_samples // (stop - start))
        units += [
            Unit(cell=cell, problems=tuple(problems[i : i + block]), start=start, stop=stop)
            for i in range(0, len(problems), block)
        ]
    return units
