"""Files of a run that are cut short, empty, or have a flipped bit: named, moved aside, redone."""

from pathlib import Path

import polars as pl
import pytest

from pipelines import parquet
from tests.chaos.harness import RESULTS, against


def truncated(content):
    return content[: len(content) * 2 // 3]


def empty(content):
    return b""


def flipped(content):
    """Flip a bit in the middle of the data, where only a checksum can tell."""
    at = int.from_bytes(content[-8:-4], "little")  # the footer, which is before its own length
    at = (len(content) - 8 - at) // 2
    return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]


def victim(run: Path, what):
    return sorted(run.glob(f"{what}/**/*.parquet") if "." not in what else [run / what])[-1]


DAMAGES = (truncated, empty, flipped)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["samples", "scores"])
def test_a_unit_is_named_kept_aside_and_redone(
    lives, folder, finished, undisturbed, ledger, what, damage
):
    path = victim(finished, what)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    if what == "samples":  # what was scored does not hide what was lost
        (finished / "scores" / path.relative_to(finished / "samples")).unlink()
    life = lives.live(folder, "run")
    assert life.code == 0
    assert str(path.relative_to(finished)) in life.errors
    (aside,) = (finished / "quarantine" / what).rglob("*.parquet.*")
    assert aside.read_bytes() == damage(content)
    ledger.note(
        f"file of {what}: {damage.__name__}", against(finished, undisturbed[0]), life.seconds
    )


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["problems", "counts.parquet", "laws.parquet", "rates.parquet"])
def test_a_table_is_written_again(lives, folder, finished, undisturbed, ledger, what, damage):
    path = victim(finished, what)
    table = pl.read_parquet(path)
    path.write_bytes(damage(path.read_bytes()))
    life = lives.live(folder, "run")
    assert life.code == 0
    assert pl.read_parquet(path).equals(table)
    fault = f"{path.name if what != 'problems' else 'file of problems'}: {damage.__name__}"
    ledger.note(fault, against(finished, undisturbed[0]), life.seconds)


def test_counts_and_laws_do_not_hang_on_completions_that_were_scored(
    lives, folder, finished, undisturbed
):
    """Such a file is not read again to count; whoever reads it is told by its checksum."""
    path = victim(finished, "samples")
    path.write_bytes(flipped(path.read_bytes()))
    assert lives.live(folder, "run").code == 0
    for name in RESULTS:
        now, was = (pl.read_parquet(run / f"{name}.parquet") for run in (finished, undisturbed[0]))
        assert now.equals(was), name
    with pytest.raises(OSError, match="CRC"):
        parquet.read(path)
