"""The vLLM engine against the embedded one, on the same checkpoint, and its traps."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from scipy import stats

from pipelines.engines.orphans import VARIABLE, marked
from pipelines.engines.protocol import Request
from pipelines.errors import UserError
from pipelines.sweeps.config import Decoding
from pipelines.units import seeds, stream
from tests.pipelines.engine_conformance import FALSE_ALARM, chance_of_overlap
from tests.vllm.conftest import QUICK, build

DECODING = Decoding(max_tokens=8)
VARIED = "98*76="
"""A prompt with many different completions."""


def request(prompt, start=0, stop=64, cell="cell"):
    return Request(
        task="task",
        problem_id=prompt,
        prompt=prompt,
        sample_ids=np.arange(start, stop),
        seeds=seeds(1, cell, prompt, start, stop),
        stream=stream(1, cell, prompt),
    )


def numbers(table, name):
    return np.array(table[name].to_pylist(), dtype=float)


# -------------------------------------------------------------------- the same as transformers


def test_it_draws_completions_as_often_as_the_embedded_engine(engine, embedded):
    """Chi-square on which completions come how often, of 4,000 samples of each."""
    asked = request("12*34=", 0, 4_000)
    ours = engine.generate([asked], DECODING)["completion"].to_pylist()
    theirs = embedded.generate([asked], DECODING)["completion"].to_pylist()
    both = [text for text in set(ours) if ours.count(text) + theirs.count(text) >= 20]
    table = np.array([[texts.count(text) for text in both] for texts in (ours, theirs)])
    rest = 4_000 - table.sum(1, keepdims=True)
    assert len(both) >= 10
    assert stats.chi2_contingency(np.hstack([table, rest])).pvalue > FALSE_ALARM


@pytest.mark.parametrize(
    "decoding",
    [None, DECODING, Decoding(max_tokens=8, temperature=0.6, top_k=4), Decoding(top_p=0.8)],
    ids=["model", "plain", "top_k", "top_p"],
)
def test_likelihoods_are_those_of_the_embedded_engine(engine, embedded, decoding):
    prompts = [VARIED, VARIED, "7*8=", "7*8=", "12*34=", "3*3="]
    completions = ["7448", "7", "56", "664", "408", ""]
    ours = engine.likelihood(prompts, completions, decoding)
    theirs = embedded.likelihood(prompts, completions, decoding)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_what_it_records_is_what_the_embedded_engine_records(engine, embedded):
    """Of the same completions: log-probabilities, confidences, and tokens with the end token."""
    asked = [request(prompt, 0, 500) for prompt in (VARIED, "7*8=")]
    names = [
        "prompt_tokens", "completion_tokens", "sum_logprob", "min_logprob", "mean_confidence",
        "tail_confidence", "bottom_confidence", "lowest_confidence",
    ]  # fmt: skip
    rows = []
    for subject in (engine, embedded):
        table = subject.generate(asked, DECODING)
        keys = zip(
            *(table[name].to_pylist() for name in ("problem_id", "completion", "finish_reason")),
            strict=True,
        )
        rows.append(
            dict(zip(keys, zip(*(numbers(table, n) for n in names), strict=True), strict=True))
        )
    common = rows[0].keys() & rows[1].keys()
    assert len(common) > 50
    for key in common:
        np.testing.assert_allclose(rows[0][key], rows[1][key], rtol=0, atol=1e-4)


def test_every_text_has_one_spelling(engine, embedded):
    assert engine.unique_tokens() is embedded.unique_tokens() is True


# -------------------------------------------------------------------- traps


def test_requests_of_one_problem_share_no_samples(engine):
    """Neighbouring units, whose seeds would overlap if each counted on from its own base seed."""
    first, second = (
        engine.generate([request(VARIED, start, start + 64)], DECODING) for start in (0, 64)
    )
    chance = chance_of_overlap(first["completion"].to_pylist(), second["completion"].to_pylist())
    assert chance > FALSE_ALARM


def test_a_sample_is_the_same_however_its_unit_is_cut(engine):
    whole = engine.generate([request(VARIED, 0, 48)], DECODING)
    parts = [engine.generate([request(VARIED, at, at + 16)], DECODING) for at in (0, 16, 32)]
    cut = [text for part in parts for text in part["completion"].to_pylist()]
    agree = np.mean([a == b for a, b in zip(whole["completion"].to_pylist(), cut, strict=True)])
    assert agree > 0.9
    assert whole["seed"].to_pylist() == [
        seed for part in parts for seed in part["seed"].to_pylist()
    ]


def test_all_samples_come_back_and_not_only_the_last_to_finish(engine, embedded):
    """Lengths are those of the embedded engine: what finishes last is longer."""
    asked = [request(VARIED, 0, 1_500), request("7*8=", 0, 1_500)]
    ours, theirs = (
        numbers(subject.generate(asked, DECODING), "completion_tokens")
        for subject in (engine, embedded)
    )
    assert len(ours) == 3_000
    error = np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
    assert abs(ours.mean() - theirs.mean()) < 5 * error


def test_eight_samples_are_eight_rows(engine):
    table = engine.generate([request(VARIED, 0, 8), request("7*8=", 0, 8)], DECODING)
    assert table["sample_id"].to_pylist() == [*range(8), *range(8)]
    assert set(table["finish_reason"].to_pylist()) <= {"stop", "length"}


# -------------------------------------------------------------------- one seed for a unit


def test_an_engine_that_reads_prompts_in_parts_takes_one_seed_for_a_unit(adapted_engine):
    """With seeds of their own, vLLM dies of these on a CPU."""
    units = [[request(VARIED, at, at + 128), request("12*34=", at, at + 128)] for at in (0, 128)]
    tables, facts = [], []
    for unit in units:
        tables.append(adapted_engine.generate(unit, DECODING))
        facts.append(adapted_engine.facts())
    assert not adapted_engine.concurrent
    assert [each["seeding"] for each in facts] == ["unit", "unit"]
    assert facts[0]["seed"] != facts[1]["seed"]
    assert all(table["seed"].null_count == table.num_rows == 256 for table in tables)
    texts = [table["completion"].to_pylist()[:128] for table in tables]
    assert chance_of_overlap(*texts) > FALSE_ALARM


def test_an_adapter_changes_the_model(adapted_engine, embedded_adapted, embedded):
    """Its likelihoods are those of the model with the adapter's matrices added."""
    prompts, completions = [VARIED, "7*8=", "12*34="], ["7448", "56", "408"]
    ours = adapted_engine.likelihood(prompts, completions)
    theirs = embedded_adapted.likelihood(prompts, completions)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert np.abs(ours - embedded.likelihood(prompts, completions)).min() > 1e-3


# -------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"engine_args": {"max_num_seq": 8}}, r"engine_args\.max_num_seqs"),
        ({"engine_args": QUICK | {"dtype": "float12"}}, "dtype"),
        ({"sampling_params": {"min_q": 0.1}}, r"sampling_params\.min_p"),
        ({"sampling_params": {"min_p": 7.0}}, "min_p"),
        ({"reasoning_parser": "deepseek_r2"}, "deepseek_r1"),
        ({"path": "/nowhere"}, "/nowhere"),
        ({"lora": "/nowhere"}, "/nowhere"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_vllm_does_not_take_is_named_before_it_starts(change, said):
    with pytest.raises(UserError, match=said) as failure:
        build(**change)
    assert "\n" not in str(failure.value)


def test_temperatures_that_vllm_would_change_are_refused(engine):
    for temperature in (0.001, 3.0):
        with pytest.raises(UserError, match=r"decoding\.temperature"):
            engine.generate([request(VARIED)], Decoding(temperature=temperature))


# -------------------------------------------------------------------- processes


HOLDS = """
import sys, time
from tests.vllm.conftest import build
if __name__ == "__main__":
    engine = build()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_killed_engine_leaves_no_process(tmp_path):
    """vLLM's own processes do not notice that who started them is gone."""
    script = tmp_path / "holds.py"
    script.write_text(HOLDS)
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    ) as holder:
        assert any(line.strip() == "ready" for line in holder.stdout)
        started = psutil.Process(holder.pid).children(recursive=True)
        marked = [each for each in started if VARIABLE in each.environ()]
        assert marked
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        _, left = psutil.wait_procs(started, timeout=60)
        for each in left:
            each.kill()
    assert not left


def test_the_death_of_vllm_ends_the_process():
    """So that whoever started it starts another; an exception would leave it in place."""
    subject = build()
    try:
        core = [psutil.Process(each) for each in marked(os.environ[VARIABLE])]
        for each in core:
            each.kill()
        psutil.wait_procs(core, timeout=60)
        with pytest.raises(SystemExit, match="died"):
            subject.generate([request(VARIED)], DECODING)
    finally:
        subject.close()
