"""Costs of planned samples, by hand."""

from pathlib import Path

import pytest

from fitting import ComputeCost, TokenCounts, cost_of_tries
from pipelines.errors import UserError
from pipelines.planning.costs import CostOptions, costs_of
from pipelines.planning.earlier_run import MeasuredCosts
from pipelines.planning.hardware import PEAK_FLOPS
from pipelines.planning.transformer_config import read_config

LENGTHS = {"prompt_tokens": 100.0, "completion_tokens": 50.0}
EARLIER = MeasuredCosts(
    run="runs/before", parameters=1e9, prompt_tokens=20, completion_tokens=10, seconds=0.5
)


def cost(problems=10, samples=1_000, earlier=None, **options):
    return costs_of(CostOptions(**options), earlier).of(problems, samples)


def test_where_nothing_is_said_only_samples_are_known():
    found = cost()
    assert (found.samples, found.flops, found.hours, found.usd) == (1_000, None, None, None)


def test_flops_are_two_a_parameter_and_token_with_each_prompt_read_once():
    found = cost(parameters=8e9, **LENGTHS)
    assert found.tokens == 10 * 100 + 1_000 * 50
    assert found.flops == pytest.approx(2 * 8e9 * (10 * 100 + 1_000 * 50))


def test_a_configuration_counts_attention_too(tmp_path: Path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, '
        '"n_positions": 1024}'
    )
    model = ComputeCost(model=read_config(tmp_path).transformer)
    tokens = TokenCounts(prompt=100, completion=50)
    found = cost(model_config=tmp_path, **LENGTHS)
    assert found.flops == pytest.approx(10 * float(cost_of_tries(model, tokens, 100)[0, 0]))
    assert found.flops > 2 * 124_439_808 * found.tokens


def test_hours_of_a_gpu_are_flops_over_the_share_of_its_peak():
    found = cost(parameters=8e9, gpu="h100", utilisation=0.2, usd_per_gpu_hour=3.0, **LENGTHS)
    hours = found.flops / (0.2 * PEAK_FLOPS["h100"]) / 3_600
    assert found.hours == pytest.approx(hours)
    assert found.usd == pytest.approx(3 * hours)


def test_a_measured_rate_of_tokens_is_preferred_to_a_peak():
    found = cost(parameters=8e9, gpu="h100", tokens_per_second=2_500.0, **LENGTHS)
    assert found.hours == pytest.approx(1_000 * 50 / 2_500 / 3_600)


def test_a_price_list_charges_each_prompt_once():
    found = cost(usd_per_million_tokens=(0.5, 2.0), **LENGTHS)
    assert found.usd == pytest.approx((10 * 100 * 0.5 + 1_000 * 50 * 2.0) / 1e6)


def test_an_earlier_run_says_lengths_size_and_seconds():
    found = cost(earlier=EARLIER)
    assert found.flops == pytest.approx(2 * 1e9 * (10 * 20 + 1_000 * 10))
    assert found.hours == pytest.approx(1_000 * 0.5 / 3_600)


def test_an_earlier_run_of_unknown_size_has_no_flops():
    unknown = MeasuredCosts(
        run="runs/before", parameters=None, prompt_tokens=20, completion_tokens=10, seconds=None
    )
    found = cost(earlier=unknown)
    assert (found.flops, found.hours) == (None, None)
    assert found.tokens == 10 * 20 + 1_000 * 10


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"gpu": "abacus", "parameters": 1e9, **LENGTHS}, "'abacus' is not among a10"),
        ({"gpu": "h100", **LENGTHS}, "needs the model's size"),
        ({"gpu": "h100", "parameters": 1e9}, "--completion-tokens"),
        ({"utilisation": 1.5, "gpu": "h100", "parameters": 1e9, **LENGTHS}, "--utilisation"),
        ({"parameters": -1.0, **LENGTHS}, "--parameters"),
        ({"usd_per_million_tokens": (-1.0, 2.0), **LENGTHS}, "prices"),
        ({"prompt_tokens": -3.0, "completion_tokens": 5.0}, "--prompt-tokens"),
    ],
)
def test_costs_that_cannot_be_are_refused_by_the_option(options, why):
    with pytest.raises(UserError, match=why):
        costs_of(CostOptions(**options), None)
