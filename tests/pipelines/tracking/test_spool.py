"""What is kept for MLflow survives what happens to files."""

import json

import pytest

from pipelines.errors import UserError
from pipelines.storage import Folder, storage_at
from pipelines.tracking.spool import Sent, Spool


@pytest.fixture(params=["folder", "memory"])
def spool(request, tmp_path):
    """One on a disk, and one in an object store."""
    if request.param == "folder":
        return Spool(Folder(tmp_path / "run"))
    return Spool(storage_at(f"memory://{tmp_path.name}/run"))


def test_a_record_comes_back(spool, record):
    spool.write(record)
    assert spool.ids() == [record.id]
    assert spool.read(record.id).to_bytes() == record.to_bytes()


def test_a_record_is_kept_as_it_was_first(spool, record):
    """Its time is that of the results, not of the last look at them."""
    from dataclasses import replace

    spool.write(record)
    spool.write(replace(record, made=record.made + 1))
    assert spool.read(record.id).made == record.made


def test_it_knows_where_a_record_was_sent(spool, record):
    """For each place that it was sent to."""
    spool.write(record)
    assert spool.sent(record.id) == {}
    places = {"http://a": Sent(run="1", experiment="2"), "http://b": Sent(run="3", experiment="4")}
    for uri, place in places.items():
        spool.mark(record.id, uri, place)
    assert spool.sent(record.id) == places


def test_a_damaged_record_is_named(spool, record):
    spool.write(record)
    spool.storage.replace(f"tracking/{record.id}/record.jsonl.gz", b"\x1f\x8btorn")
    with pytest.raises(UserError, match=r"record\.jsonl\.gz: cannot be read"):
        spool.read(record.id)


def test_sessions_are_joined_by_time(spool):
    """Steps go on where the session before ended; a damaged session is left out."""
    spool.keep_system(2_000, [("system/cpu", 3.0, 0, 2_000), ("system/cpu", 4.0, 1, 2_100)])
    spool.keep_system(1_000, [("system/cpu", 1.0, 0, 1_000), ("system/cpu", 2.0, 1, 1_100)])
    spool.storage.replace("tracking/system/3000.json", b"torn")
    assert spool.system() == [
        ("system/cpu", 1.0, 0, 1_000),
        ("system/cpu", 2.0, 1, 1_100),
        ("system/cpu", 3.0, 2, 2_000),
        ("system/cpu", 4.0, 3, 2_100),
    ]


def test_a_record_is_lines_that_people_can_read(tmp_path, record):
    """`zcat record.jsonl.gz | jq` shows it: a line for each thing, in the order of sending."""
    import gzip

    spool = Spool(Folder(tmp_path))
    spool.write(record)
    text = gzip.decompress((tmp_path / "tracking" / record.id / "record.jsonl.gz").read_bytes())
    kinds = [next(iter(json.loads(line))) for line in text.decode().splitlines()]
    assert kinds[:3] == ["invocation", "run", "metrics"]
    assert kinds.count("run") == 1 + len(record.cells)
    assert set(kinds) == {"invocation", "run", "metrics", "model"}
