"""What is asked of vLLM: no two samples share a seed, and every sample is asked for once."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.engines.protocol import Request
from pipelines.engines.vllm_requests import (
    COOLEST,
    HOTTEST,
    bent,
    by_token,
    cut,
    first_unknown,
    plan,
    recorded,
    undrawable,
    unit_seed,
)
from pipelines.errors import UserError
from pipelines.models import find
from pipelines.sweeps.config import Decoding
from pipelines.sweeps.engine_sections import TransformersEngine, VLLMEngine
from pipelines.units import seeds, stream


def request(problem, ids, run_seed=0):
    ids = np.asarray(ids, dtype=np.int64)
    span = int(ids.max()) + 1 if len(ids) else 0
    return Request(
        task="task",
        problem_id=problem,
        prompt=problem,
        sample_ids=ids,
        seeds=seeds(run_seed, "cell", problem, 0, span)[ids],
        stream=stream(run_seed, "cell", problem),
    )


def drawn(asks):
    """The seeds that vLLM gives the samples of a request: its own, and those that follow it."""
    return [ask.seed + child for ask in asks for child in range(ask.count)]


# -------------------------------------------------------------------- seeds and places

units = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5_000), st.integers(1, 300)),
    min_size=1,
    max_size=12,
)


@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=12), most=st.integers(1, 500))
def test_no_two_units_share_a_completion_stream(cuts, most):
    """Whatever the sizes of units and requests are: each seed is drawn from once."""
    taken = []
    at = 0
    for size in cuts:
        unit = [request(problem, range(at, at + size)) for problem in ("first", "second", "third")]
        taken += drawn(plan(unit, {0, 1, 2}, most))
        at += size
    assert len(taken) == len(set(taken)) == 3 * at


@given(start=st.integers(0, 10**9), size=st.integers(1, 300), most=st.integers(1, 400))
def test_a_sample_has_one_seed_however_it_is_asked_for(start, size, most):
    asked = request("problem", [0])
    ids = np.arange(start, start + size)
    again = Request(**{**vars(asked), "sample_ids": ids, "seeds": ids})
    assert drawn(plan([again], {0}, most)) == [asked.stream + int(i) for i in ids]


@given(
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=6),
    most=st.integers(1, 20),
    data=st.data(),
)
def test_every_row_of_a_request_that_is_taken_is_asked_for_once(sizes, most, data):
    taken = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    unit = [request(str(at), range(size)) for at, size in enumerate(sizes)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    expected = [
        row for at in range(len(sizes)) if at in taken for row in range(starts[at], starts[at + 1])
    ]
    asks = plan(unit, taken, most)
    assert [row for ask in asks for row in range(ask.place, ask.place + ask.count)] == expected
    assert all(1 <= ask.count <= most for ask in asks)


def test_sample_ids_with_gaps_keep_their_seeds():
    asked = request("problem", [0, 1, 5, 6, 7, 20])
    asks = plan([asked], {0})
    assert drawn(asks) == [asked.stream + i for i in (0, 1, 5, 6, 7, 20)]
    assert [ask.count for ask in asks] == [2, 3, 1]


def test_seeds_fit_in_the_64_bits_that_vllm_takes():
    largest = Request(**{**vars(request("problem", [0])), "stream": 2**62 - 1})
    asks = plan([Request(**{**vars(largest), "sample_ids": np.array([2**61])})], {0})
    assert 0 <= asks[0].seed < 2**63


def test_32_bits_of_the_seeds_of_a_problem_are_distinct():
    """CPU generators keep no more of them; of a million random ones, 116 pairs would be equal."""
    found = np.array(drawn(plan([request("problem", range(1_000_000))], {0})), dtype=np.uint64)
    assert len(np.unique(found & np.uint64(2**32 - 1))) == 1_000_000


@given(first=units, second=units)
def test_seeds_of_units_differ_where_the_units_do(first, second):
    def built(unit):
        return [request(str(name), range(start, start + size)) for name, start, size in unit]

    assert (unit_seed(built(first)) == unit_seed(built(second))) == (first == second)
    assert 0 <= unit_seed(built(first)) < 2**63


# -------------------------------------------------------------------- decoding


def test_a_decoding_keeps_the_tokens_that_it_says():
    logp = np.log([[0.5, 0.3, 0.15, 0.05]])
    plain = np.exp(bent(logp, Decoding()))
    assert plain[0].tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05])
    top_k = np.exp(bent(logp, Decoding(top_k=2)))
    assert top_k[0].tolist() == pytest.approx([0.625, 0.375, 0, 0])
    top_p = np.exp(bent(logp, Decoding(top_p=0.8)))
    assert top_p[0].tolist() == pytest.approx([0.625, 0.375, 0, 0])
    cooler = np.exp(bent(logp, Decoding(temperature=0.5)))
    assert cooler[0, 0] / cooler[0, 1] == pytest.approx((0.5 / 0.3) ** 2)
    assert np.exp(bent(logp, Decoding(temperature=0))).tolist() == [[1, 0, 0, 0]]


def test_a_tie_at_top_k_keeps_both():
    logp = np.log([[0.4, 0.3, 0.3]])
    assert np.exp(bent(logp, Decoding(top_k=2)))[0].tolist() == pytest.approx([0.4, 0.3, 0.3])


def test_top_p_counts_what_top_k_left():
    """As vLLM does: 0.5 and 0.3 of 0.8 are left, and the first of them has more than 0.6 of it."""
    logp = np.log([[0.5, 0.3, 0.2]])
    kept = np.exp(bent(logp, Decoding(top_k=2, top_p=0.6)))
    assert kept[0].tolist() == pytest.approx([1, 0, 0])


@given(
    weights=st.lists(st.floats(0.01, 1), min_size=2, max_size=20),
    temperature=st.floats(0.05, 2),
    top_p=st.floats(0.05, 1),
    top_k=st.integers(1, 25),
)
def test_a_bent_distribution_is_one(weights, temperature, top_p, top_k):
    logp = np.log(np.array([weights]) / np.sum(weights))
    decoding = Decoding(temperature=temperature, top_p=top_p, top_k=top_k)
    assert np.exp(bent(logp, decoding)).sum() == pytest.approx(1)


def test_temperatures_that_vllm_changes_are_named():
    assert undrawable(Decoding(temperature=0)) is None
    assert undrawable(Decoding(temperature=COOLEST)) is None
    assert undrawable(Decoding(temperature=HOTTEST)) is None
    for temperature in (COOLEST / 2, HOTTEST * 2):
        assert f"{temperature:g}" in undrawable(Decoding(temperature=temperature))


def test_a_completion_ends_before_the_first_of_its_stop_strings():
    assert cut("one two three", ("three", "two")) == "one "
    assert cut("one", ()) == "one"


# -------------------------------------------------------------------- what is recorded


def test_log_probabilities_are_summed_and_the_least_is_kept():
    assert recorded(np.array([-1.0, -2.5, -0.5])) == {"sum_logprob": -4.0, "min_logprob": -2.5}


def test_probabilities_come_in_any_order():
    """The token that is there comes first, and again among the others."""
    row = by_token([2, 0, 1, 2], [-0.3, -1.0, -2.0, -0.3], 4)
    assert row[:3].tolist() == [-1.0, -2.0, -0.3]
    assert math.isnan(row[3])


# -------------------------------------------------------------------- names


def test_an_unknown_name_is_told_with_those_that_are_spelled_like_it():
    said = first_unknown({"min_q": 0.1}, ["min_p", "top_k"])
    assert said == "min_q: unknown to vLLM; did you mean min_p?"
    assert first_unknown({"zzz": 1}, ["min_p"]) == "zzz: unknown to vLLM"
    assert first_unknown({"min_p": 1}, ["min_p"]) is None


@pytest.mark.parametrize(
    ("field", "name", "remedy"),
    [
        ("sampling_params", "n", "allocation"),
        ("sampling_params", "temperature", "decoding.temperature"),
        ("sampling_params", "stop", "decoding.stop"),
        ("engine_args", "seed", "the sweep's seed"),
        ("engine_args", "data_parallel_size", "resources.engines"),
        ("engine_args", "model", "path"),
    ],
)
def test_what_the_sweep_says_elsewhere_is_refused_with_the_place(field, name, remedy):
    with pytest.raises(ValidationError, match=rf"{field}\.{name}: .*{remedy}"):
        VLLMEngine(**{"engine": "vllm", "name": "m", "path": "m", field: {name: 1}})


# -------------------------------------------------------------------- what samples are drawn from


def vllm(**change):
    return VLLMEngine(**{"engine": "vllm", "name": "m", "path": "m"} | change)


def test_speed_and_memory_are_no_part_of_what_samples_are_drawn_from():
    quick = {"max_num_seqs": 8, "tensor_parallel_size": 2, "gpu_memory_utilization": 0.5}
    assert vllm(engine_args=quick, seeding="unit").drawn_from() == vllm().drawn_from() == {}


@pytest.mark.parametrize(
    "change",
    [
        {"engine_args": {"dtype": "bfloat16"}},
        {"engine_args": {"quantization": "fp8"}},
        {"engine_args": {"load_format": "dummy"}},
        {"engine_args": {"an_argument_of_tomorrow": 1}},
        {"sampling_params": {"min_p": 0.1}},
        {"reasoning_parser": "deepseek_r1"},
    ],
)
def test_the_rest_is(change):
    assert vllm(**change).drawn_from()


# -------------------------------------------------------------------- the model as it is found


def found(**change):
    return find(vllm(path="ladder:3k", **change)).fingerprint


def test_a_model_is_known_by_its_files_and_what_bends_its_distribution():
    plain = find(TransformersEngine(name="m", path="ladder:3k")).fingerprint
    assert found() == found(engine_args={"max_num_seqs": 8}) == plain
    bent_ones = [found(sampling_params={"min_p": value}) for value in (0.1, 0.2)]
    assert len({plain, *bent_ones, found(engine_args={"dtype": "bfloat16"})}) == 4


def test_an_adapter_is_part_of_the_model(tmp_path):
    with pytest.raises(UserError, match=r"lora: .*adapter_config\.json"):
        found(lora=str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"r": 8}')
    first = found(lora=str(tmp_path))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    assert len({found(), first, found(lora=str(tmp_path))}) == 3
