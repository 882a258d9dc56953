"""The simulated engine: its rates are what it says, and a sample is the same in any batch."""

import time

import numpy as np
import pytest
from scipy.stats import binom, kstest

from operators.schemas import PROBLEMS, SAMPLES, check
from operators.verification.verify import verify
from pipelines.config import Decoding
from pipelines.engine_sections import SimulatedEngine
from pipelines.engines import load
from pipelines.engines.protocol import Request
from pipelines.engines.simulated_engine import SimulatedModel
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
