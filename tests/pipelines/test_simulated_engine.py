"""The simulated engine: its rates are what it says, and a sample is the same in any batch."""

import time

import numpy as np
import pytest
from scipy.stats import binom, chisquare, geom, kstest

from operators.schemas import PROBLEMS, SAMPLES, check
from operators.verification.verify import verify
from pipelines.engines import load
from pipelines.engines.protocol import Request
from pipelines.engines.simulated_engine import SimulatedModel
from pipelines.models import find
from pipelines.sweeps.config import Decoding, digest
from pipelines.sweeps.engine_sections import SimulatedEngine
from pipelines.units import seeds


def model(**change):
    values = {"engine": "simulated", "name": "m", "parameters": 9, "rate": 0.2, "spread": 0.5}
    return SimulatedModel(SimulatedEngine(**values | change))


def request(prompt="1+1=", start=0, stop=100, answer="2"):
    ids = np.arange(start, stop)
    own = seeds(0, "cell", prompt, start, stop)
    return Request(
        task="t",
        stream=0,
        problem_id=prompt,
        prompt=prompt,
        sample_ids=ids,
        seeds=own,
        answer=answer,
    )


def test_a_table_of_samples_in_the_order_of_the_requests():
    table = model().generate([request("b", 5, 8), request("a", 0, 2)], Decoding())
    assert check(table, SAMPLES, "samples").equals(table)
    assert table["problem_id"].to_pylist() == ["b"] * 3 + ["a"] * 2
    assert table["sample_id"].to_pylist() == [5, 6, 7, 0, 1]
    assert table["seed"].to_pylist() == [*request("b", 5, 8).seeds, *request("a", 0, 2).seeds]


def test_no_requests_give_no_samples():
    assert model().generate([], Decoding()).equals(SAMPLES.empty_table())


def test_a_sample_is_the_same_in_any_batch():
    whole = model().generate([request(stop=50)], Decoding())
    parts = [request(start=start, stop=start + 10) for start in (0, 30, 10, 40, 20)]
    together = model().generate(parts, Decoding()).sort_by("sample_id")
    assert together.equals(whole)


def test_the_share_of_passes_is_the_rate():
    engine, n = model(), 200_000
    for prompt in ("a", "b", "c", "d"):
        completions = engine.generate([request(prompt, 0, n)], Decoding())["completion"].to_pylist()
        c = completions.count("2")
        # 1 in 10,000 on either side.
        low, high = binom.ppf([1e-4, 1 - 1e-4], n, engine.rate(prompt))
        assert low <= c <= high


def test_passes_do_not_follow_each_other():
    """Neighbouring samples, and neighbouring problems, are independent."""
    engine, n = model(spread=0.0), 100_000
    passed = [
        np.array(engine.generate([request(p, 0, n)], Decoding())["completion"].to_pylist()) == "2"
        for p in ("a", "b")
    ]
    for one, other in ((passed[0][:-1], passed[0][1:]), (passed[0], passed[1])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / n**0.5


def word_of(seed):
    """SplitMix64's output function, in Python's own integers."""
    word = (seed + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


def test_what_a_seed_gives_never_changes():
    """Runs that were begun go on with the samples that they would have had."""
    engine, asked = model(), request()
    words = [word_of(int(seed)) for seed in asked.seeds]
    rate = engine.rate(asked.prompt)
    expected = [
        "2" if (word >> 11) / 2**53 < rate else f"wrong {'abcdefghij'[word % 10]}" for word in words
    ]
    table = engine.generate([asked], Decoding())
    assert table["completion"].to_pylist() == expected
    assert set(table["completion_tokens"].to_pylist()) == {8}
    assert set(table["finish_reason"].to_pylist()) == {"stop"}
    assert table["sum_logprob"].null_count == 100


def test_lengths_are_geometric_and_do_not_hang_on_the_outcome():
    engine, n = model(mean_tokens=5.0, spread=0.0), 100_000
    table = engine.generate([request(stop=n)], Decoding(max_tokens=10_000))
    tokens = np.array(table["completion_tokens"])
    counts = np.bincount(tokens, minlength=31)[1:31]
    expected = n * geom.pmf(np.arange(1, 31), 1 / 5.0)
    rest = n - expected.sum()
    assert chisquare([*counts, n - counts.sum()], [*expected, rest]).pvalue > 1e-4
    passed = np.array(table["completion"].to_pylist()) == "2"
    assert abs(np.corrcoef(tokens, passed)[0, 1]) < 4 / n**0.5


@pytest.mark.parametrize("answer", ["2", "", "wrong"])
def test_what_is_truncated_does_not_pass(answer):
    engine, n = model(rate=0.99, spread=0.0, mean_tokens=5.0), 20_000
    table = engine.generate([request(stop=n, answer=answer)], Decoding(max_tokens=6))
    short = table.filter(np.array(table["finish_reason"].to_pylist()) == "length")
    low, high = binom.ppf([1e-4, 1 - 1e-4], n, 0.8**6)
    assert low <= short.num_rows <= high
    assert answer not in set(short["completion"].to_pylist())
    assert set(short["completion_tokens"].to_pylist()) == {6}


def test_a_limit_below_the_length_of_all_truncates_all():
    table = model().generate([request()], Decoding(max_tokens=7))
    assert set(table["finish_reason"].to_pylist()) == {"length"}
    assert model().likelihood(["a"], ["2"], Decoding(max_tokens=7)).tolist() == [-np.inf]


@pytest.mark.parametrize("greedy", [{"temperature": 0.0}, {"top_k": 1}])
@pytest.mark.parametrize(("rate", "passes"), [(0.49, False), (0.5, True)])
def test_greedy_passes_where_half_of_the_samples_would(greedy, rate, passes):
    engine, decoding = model(rate=rate, spread=0.0, mean_tokens=5.0), Decoding(**greedy)
    table = engine.generate([request()], decoding)
    (completion,) = set(table["completion"].to_pylist())
    assert (completion == "2") == passes
    found = np.exp(engine.likelihood(["1+1="] * 2, ["2", "wrong a"], decoding))
    assert found.tolist() == [float(passes), float(not passes)]


def test_a_stop_string_ends_right_and_wrong_completions():
    engine, decoding = model(rate=0.5, spread=0.0), Decoding(stop=("34", "n"))
    table = engine.generate([request(answer="12345")], decoding)
    assert set(table["completion"].to_pylist()) == {"12", "wro"}
    assert engine.likelihood(["p"], ["12345"], decoding).tolist() == [-np.inf]


def test_the_probabilities_of_all_completions_add_up_to_those_that_finish():
    engine, decoding = model(mean_tokens=5.0), Decoding(max_tokens=6)
    completions = ["2", *(f"wrong {letter}" for letter in "abcdefghij")]
    plain = engine.likelihood(["a"] * 11, completions)
    assert np.exp(plain).sum() == pytest.approx(1, rel=1e-12)
    limited = engine.likelihood(["a"] * 11, completions, decoding)
    assert np.exp(limited).sum() == pytest.approx(1 - 0.8**6, rel=1e-12)


def test_rates_are_log_normal_around_their_mean():
    engine = model(rate=0.01, spread=0.8)
    rates = np.array([engine.rate(f"p{i}") for i in range(4_000)])
    normal = (np.log(rates / 0.01) + 0.8**2 / 2) / 0.8
    assert kstest(normal, "norm").pvalue > 1e-3
    assert rates.mean() == pytest.approx(0.01, rel=4 * rates.std() / 0.01 / 4_000**0.5)
    assert model(spread=0.0).rate("any") == 0.2
    assert model(rate=0.9, spread=3.0).rate("x") <= 0.999


def test_rates_hang_on_the_models_name_and_the_prompt():
    assert model().rate("a") == model(parameters=5).rate("a")
    assert len({model(name=name).rate(prompt) for name in "mn" for prompt in "ab"}) == 4


def test_likelihood_is_the_log_of_the_rate():
    engine = model()
    expected = [engine.rate("a"), engine.rate("b")]
    found = engine.likelihood(["a", "b"], ["1", "2"], Decoding())
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-12)
    assert engine.unique_tokens()


@pytest.mark.parametrize("answer", [str(digit) for digit in range(10)])
@pytest.mark.parametrize("verifier", ["exact", "numeric"])
def test_only_passes_pass(answer, verifier):
    """Wrong completions hold no number that could be right by chance."""
    asked = request("p", 0, 2_000, answer)
    table = model(rate=0.05, spread=0.0).generate([asked], Decoding())
    row = dict.fromkeys(PROBLEMS.names)
    row |= {"problem_id": "p", "prompt": "p", "answer": answer, "verifier": verifier}
    scores = verify(table, type(table).from_pylist([row], schema=PROBLEMS))
    passed = [completion == answer for completion in table["completion"].to_pylist()]
    assert scores["passed"].to_pylist() == passed
    assert 0 < sum(passed) < 200


def test_it_can_be_slowed_down():
    slow = model(samples_per_second=1_000.0)
    started = time.perf_counter()
    slow.generate([request(stop=100)], Decoding())
    assert time.perf_counter() - started >= 0.1


def test_it_is_chosen_by_the_sweep():
    chosen = load(SimulatedEngine(engine="simulated", name="m", parameters=1, rate=0.5))
    assert isinstance(chosen, SimulatedModel)


def test_choices_that_came_later_leave_earlier_runs_as_they_are():
    """What was sampled before they existed goes on under its own fingerprint."""

    def fingerprint(**change):
        values = {"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.5}
        return find(SimulatedEngine(**values | change)).fingerprint

    as_before = {"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.5, "spread": 1.0}
    assert fingerprint() == digest(as_before)
    assert fingerprint(logprobs=True) == fingerprint()
    assert fingerprint(mean_tokens=5.0) != fingerprint()
