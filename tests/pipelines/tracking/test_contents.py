"""What MLflow is told of a run."""

import json
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.schemas import PROBLEMS, SAMPLES
from pipelines.sweeps.engine_sections import TransformersEngine
from pipelines.tracking.contents import describe, results_digest
from pipelines.tracking.inputs import Place
from pipelines.tracking.record import Entry, Record, read
from pipelines.tracking.tags import family
from tests.pipelines.tracking.conftest import MADE


def _described(tables, place):
    return describe(tables, place, made=MADE, surroundings={})


def test_a_record_is_what_its_bytes_say(record):
    """Nothing is lost on the way through a file."""
    again = read(record.to_bytes(), "here")
    assert again.to_bytes() == record.to_bytes()
    assert again.metrics == record.metrics > 1_000
    assert [cell.name for cell in again.cells] == [cell.name for cell in record.cells]


@given(
    st.lists(
        st.tuples(
            st.text(max_size=5),
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**62), 2**62),
            st.none() | st.integers(0, 2**42),
        ),
        max_size=20,
    ),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_any_metrics_and_tags_come_back(points, tags):
    """To the last bit, in their order."""
    entry = Entry(name="a", tags=tags, params=tags, metrics=points)
    made = Record(id="i", experiment="e", made=1, parent=entry, cells=[entry], artifacts=[])
    again = read(made.to_bytes(), "here")
    assert again.cells[0].metrics == again.parent.metrics == points
    assert again.parent.tags == tags


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_torn_record_is_an_error_that_names_it(record, keep):
    from pipelines.errors import UserError

    with pytest.raises(UserError, match=r"^runs/a: cannot be read \(.*passlaw track"):
        read(record.to_bytes()[:keep], "runs/a")


def test_the_same_results_have_the_same_id(tables, place, record):
    """Wherever they lie, whenever they are described and wherever they are tracked; else not."""
    elsewhere = Place(url="s3://b/r", problems={}, sampled=False)
    moved = tables.sweep.model_copy(
        update={
            "tracking": tables.sweep.tracking.model_copy(update={"uri": "http://x"}),
            "run": "s3://b/r",
        }
    )
    assert _described(replace(tables, sweep=moved), elsewhere).id == record.id
    assert results_digest(replace(tables, counts=tables.counts.head(8))) != record.id


def test_a_cell_has_the_tags_by_which_it_is_found(tables, record):
    cell = next(each for each in record.cells if each.name == "m5.2k add-3")
    about = {
        "passlaw.kind": "cell",
        "passlaw.model": "m5.2k",
        "passlaw.task": "add-3",
        "passlaw.parameters": "5200",
        "passlaw.engine": "simulated",
        "passlaw.allocation": "until",
        "passlaw.sweep": tables.sweep.name,
        "passlaw.host": "here",
        "passlaw.run": "/runs/sim",
    }
    assert about.items() <= cell.tags.items()
    assert record.parent.tags["passlaw.models"].startswith(",m2.6k,")
    assert record.parent.tags["passlaw.tasks"] == ",add-2,add-3,"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-Instruct"),
        ("EleutherAI/pythia-70m", "pythia"),
        ("./checkpoints/olmo-1.5B/", "olmo"),
        ("Qwen/Qwen2.5-0.5B", "Qwen2.5"),
        ("ladder:14k-seed1", "ladder"),
        ("gpt2", "gpt2"),
        ("7b", None),
    ],
)
def test_a_family_is_a_name_without_its_size(path, found):
    assert family(TransformersEngine(name="m", path=path)) == found


def test_a_model_of_unknown_size_has_no_size(tables, place):
    """It is left out of what is drawn over sizes, and nothing says 0."""
    unsized = replace(
        tables,
        parameters={name: size for name, size in tables.parameters.items() if name != "m5.2k"},
        costs=tables.costs.with_columns(
            pl.when(pl.col("model") != "m5.2k").then(name).alias(name)
            for name in ("parameters", "flops", "engine_seconds")
        ),
    )
    record = _described(unsized, place)
    cell = next(each for each in record.cells if each.name == "m5.2k add-2")
    assert cell.params["parameters"] == "unknown"
    assert "passlaw.parameters" not in cell.tags
    assert not {"parameters", "flops", "engine_seconds"} & {name for name, *_ in cell.metrics}
    steps = {step for name, _, step, _ in record.parent.metrics if name == "add-2/pass_rate"}
    assert steps == {2_600, 9_800, 18_500}
    rows = record.parent.tables["tables/cells.json"]
    size = {row[0]: row[rows["columns"].index("parameters")] for row in rows["data"]}
    assert size["m5.2k"] is None
    assert size["m2.6k"] == 2_600


def test_inputs_are_problems_and_samples_with_their_schemas(record):
    cell = record.cells[0]
    problems, samples = cell.inputs
    assert problems.context == "problems"
    assert problems.source == "/runs/sim/problems/add-2.parquet"
    assert [name for name, *_ in problems.columns] == PROBLEMS.names
    assert samples.source.startswith("/runs/sim/samples/model=m2.6k/task=add-2")
    assert [(name, required) for name, _, required in samples.columns] == [
        (field.name, not field.nullable) for field in SAMPLES
    ]


def test_a_run_of_counts_alone_names_its_counts(tables):
    """There are no samples to name, nor problems."""
    place = Place(url="s3://bucket/run", problems={}, sampled=False)
    (used,) = _described(tables, place).cells[0].inputs
    assert (used.context, used.source) == ("counts", "s3://bucket/run/counts.parquet")


def test_samples_have_another_digest_when_they_pass_otherwise(tables, place, record):
    judged = replace(tables, counts=tables.counts.with_columns(c=pl.col("c") + 1))
    first, second = (each.cells[0].inputs[1].digest for each in (record, _described(judged, place)))
    assert first != second


def test_tables_are_for_reading(record, tables):
    """One row a cell or law; JSON without what JSON cannot say."""
    made = record.parent.tables
    assert set(made) >= {"tables/cells.json", "tables/laws.json", "tables/selection.json"}
    cells = pl.DataFrame(
        made["tables/cells.json"]["data"], made["tables/cells.json"]["columns"], orient="row"
    )
    assert cells["samples"].sum() == tables.counts["n"].sum()
    assert cells["passes"].sum() == tables.counts["c"].sum()
    assert cells.height == len(record.cells)
    json.dumps(made, allow_nan=False)


def test_every_usable_law_is_a_model(record, tables):
    """Each cell's own, each over sizes, and all of them together."""
    usable = tables.laws.filter("chosen", pl.col("kind") != "emergence", "converged")
    assert record.laws is not None
    places = {(law["model"], law["task"]) for law in record.laws.laws}
    assert places >= set(usable.select("model", "task").rows())
    for cell in record.cells:
        for model in cell.models:
            ((law,),) = [model.laws]
            assert f"{law['model']} {law['task']}" == cell.name


def test_names_of_models_are_what_mlflow_takes(tables, place):
    """No dots, and no two alike in one run."""
    laws = tables.laws.filter(pl.col("model").is_null() & pl.col("chosen"))
    renamed = pl.concat(
        [laws.with_columns(task=pl.lit(name)) for name in ("a.b", "a_b", "laws")]
    ).filter(pl.col("kind") == "task")
    record = _described(replace(tables, laws=renamed.unique(["task"], maintain_order=True)), place)
    assert [model.name for model in record.parent.models] == ["a_b-law", "a_b-law_", "laws-law"]
