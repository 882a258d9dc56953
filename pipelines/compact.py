"""compact: many small files of a cell -> few packs, without losing or doubling a sample.

A pack appears whole, in one step, and is read back before the files that it replaces are removed.
Between the two both are there, and the store reads each unit from one of them; what a crash leaves
behind is removed by the next compaction. Knows which files hold what; not what the rows mean.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines import parquet
from pipelines.packs import Holder, Pack, packing_order
from pipelines.store import Store
from pipelines.unit_files import Committed, Inventory, Kind, Quarantined, Reading
from pipelines.units import Cell

_MOST_DECODED = 2**29
"""Bytes of rows that a pack may have in memory, where they are sorted."""
_DAMAGED = (OSError, pa.ArrowInvalid)
"""What reading a damaged file raises."""
_KINDS: tuple[Kind, Kind] = ("samples", "scores")


@dataclass(kw_only=True)
class Compacted:
    """What a compaction did."""

    files_before: int = 0
    """Files of samples and scores."""
    files_after: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A file whose units go into a pack."""

    holder: Holder
    live: list[Committed]
    """Those of its units that are read from it; of a pack, others may be read from elsewhere."""
    table: pa.Table
    """All its rows."""
    size: int
    """Bytes of the file."""


def compact(store: Store, cells: Iterable[Cell], target_bytes: int) -> Compacted:
    """Merge the small files of some cells into packs of about `target_bytes`.

    Nobody else may write to the run. Files that cannot be read are moved to quarantine.

    Raises:
        UserError: a pack cannot be written; all that was committed is still there.
    """
    done = Compacted()
    for cell in cells:
        for kind in _KINDS:
            _compact_cell(store, kind, cell, target_bytes, done)
    return done


def _compact_cell(store: Store, kind: Kind, cell: Cell, target_bytes: int, done: Compacted) -> None:
    inventory = store.inventory(kind, cell)
    done.files_before += len(inventory.holders) + len(inventory.bad)
    done.quarantined += [store.quarantine(key, reason) for key, reason in inventory.bad]
    if inventory.superseded:
        _retire(store, kind, inventory, done)
        # A pack that turned out to be damaged has left its units to their own files.
        inventory = store.inventory(kind, cell)
    packs = [holder.pack for holder in inventory.holders if holder.pack is not None]
    generation = max((pack.generation for pack in packs), default=0)
    for sources in _bins(store, kind, inventory, target_bytes, done):
        generation += 1
        _merge(store, kind, sources, generation, target_bytes)
    done.files_after += len(store.inventory(kind, cell).holders)


def _retire(store: Store, kind: Kind, inventory: Inventory, done: Compacted) -> None:
    """Remove files whose units are read from others, once these are seen to hold the same."""
    read_from = {each.unit.name: each for each in inventory.found}
    reading = Reading(store)
    for holder in inventory.superseded:
        if holder.pack is not None and kind == "scores":
            store.remove(holder.key)  # derived, and what is read is newer
            continue
        try:
            own = store.read_file(kind, holder.key)
        except _DAMAGED as error:
            done.quarantined.append(store.quarantine(holder.key, str(error)))
            continue
        for each in (read_from[unit.name] for unit in holder.units):
            size = each.unit.stop - each.unit.start
            rows = [(first, first + size) for first in holder.first_rows(each.unit)]
            try:
                same = parquet.same_rows(reading.unit(kind, each), parquet.pick(own, rows))
            except _DAMAGED as error:
                done.quarantined.append(store.quarantine(each.key, str(error)))
                return  # what is superseded by what has changed
            if not same:
                reason = f"other {kind} of unit {each.unit.name} were committed before"
                done.quarantined.append(store.quarantine(holder.key, reason))
                break
        else:
            store.remove(holder.key)


def _bins(
    store: Store, kind: Kind, inventory: Inventory, target_bytes: int, done: Compacted
) -> Iterator[list[_Source]]:
    """Yield what to merge: files that together make a pack, with those of one problem together."""
    together: list[_Source] = []
    size = decoded = 0
    for holder, live in _candidates(inventory):
        try:
            content = store.storage.read(holder.key)
            table = store.decoded(kind, content)
        except _DAMAGED as error:
            done.quarantined.append(store.quarantine(holder.key, str(error)))
            continue
        source = _Source(holder=holder, live=live, table=table, size=len(content))
        if size + source.size > target_bytes or decoded + table.nbytes > _MOST_DECODED:
            if _worthwhile(together):
                yield together
            together, size, decoded = [], 0, 0
        together.append(source)
        size += source.size
        decoded += table.nbytes
    if _worthwhile(together):
        yield together


def _candidates(inventory: Inventory) -> list[tuple[Holder, list[Committed]]]:
    """Return the files to merge: all but packs that are full, and read for each of their units."""
    live: dict[str, list[Committed]] = {}
    for each in inventory.found:
        live.setdefault(each.key, []).append(each)
    chosen = [
        (holder, live[holder.key])
        for holder in inventory.holders
        if holder.key in live
        and not (holder.pack and holder.pack.full and len(live[holder.key]) == len(holder.units))
    ]
    chosen.sort(key=lambda item: (min(item[0].units[0].problems), item[0].units[0].start))
    return chosen if len(chosen) > 1 or any(_is_worn(*item) for item in chosen) else []


def _worthwhile(sources: Sequence[_Source]) -> bool:
    return len(sources) > 1 or any(_is_worn(source.holder, source.live) for source in sources)


def _is_worn(holder: Holder, live: Sequence[Committed]) -> bool:
    """Whether some of a file's rows are read from elsewhere."""
    return len(live) < len(holder.units)


def _merge(
    store: Store, kind: Kind, sources: list[_Source], generation: int, target_bytes: int
) -> None:
    """Write the pack of some files, then remove them; empties `sources`, to free their rows."""
    size = sum(source.size for source in sources)
    decoded = sum(source.table.nbytes for source in sources)
    live = [each for source in sources for each in source.live]
    pack = Pack(
        generation=generation,
        full=2 * size >= target_bytes or 2 * decoded >= _MOST_DECODED,
        units=tuple(each.unit for each in live),
        facts=tuple(each.facts for each in live),
    )
    order = packing_order(
        (source.holder, [each.unit for each in source.live]) for source in sources
    )
    keys = [source.holder.key for source in sources]
    table = pa.concat_tables(source.table for source in sources).take(order)
    sources.clear()
    store.write_pack(kind, pack, table)
    for key in keys:
        store.remove(key)
