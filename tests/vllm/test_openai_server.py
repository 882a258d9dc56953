"""The openai engine on a real `vllm serve`: the promises of an engine, and a sweep of one rung."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import polars as pl
import pytest

from pipelines import ladder
from pipelines.engines.openai_engine import OpenAIModel
from pipelines.engines.retry import Retry
from pipelines.sweeps.config import Decoding
from pipelines.sweeps.engine_sections import OpenAIEngine
from tests.command import passlaw
from tests.pipelines.engine_conformance import EngineConformance, Subject, frequencies_p_value
from tests.vllm.conftest import RUNG

STARTS = 900
"""Most seconds until the server answers, also on a machine that does much else."""
PROMPTS = ("98*76=", "12*34=", "7*8=")
SWEEP = """
name: {engine}
run: {engine}
engine: {engine}
models: [{{name: 14k, {model}}}]
tasks: [{{name: multiply1, problems: 20}}, {{name: multiply2, problems: 20}}]
decoding: {{max_tokens: 8}}
allocation: {{n: 256}}
fit: {{hold_out: null}}
tracking: {{enabled: false}}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Where `vllm serve` has the rung."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
    options = {
        "port": port,
        "model": ladder.checkpoint(RUNG),
        "served-model-name": RUNG,
        "max-model-len": 64,
        "dtype": "float32",
        "gpu-memory-utilization": 0.1,
    }
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    log = tmp_path_factory.mktemp("server") / "log"
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("w") as out:
        server = subprocess.Popen(
            [*command, "--enforce-eager"], stdout=out, stderr=subprocess.STDOUT, env=environment
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(address, server, log):
    ends = time.monotonic() + STARTS
    while time.monotonic() < ends:
        assert server.poll() is None, log.read_text()[-4_000:]
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start: {log.read_text()[-4_000:]}")


def section(url):
    return OpenAIEngine(engine="openai", name=RUNG, parameters=14_000, base_url=url)


@pytest.fixture(scope="module")
def engine(url):
    # It answers a prompt that it cannot read with 500, as if it were broken: try again soon.
    subject = OpenAIModel(section(url), Retry(patience=600.0, first=0.01, longest=0.1))
    yield subject
    subject.close()


@pytest.fixture(scope="module")
def subject(engine, url):
    return Subject(
        engine=engine,
        fresh=lambda: OpenAIModel(section(url)),
        prompts=PROMPTS,
        decoding=Decoding(max_tokens=8),
        impossible="1" * 100 + "*2=",
        bent_likelihood=False,
        rounding=0.02,
    )


class TestServedByVLLM(EngineConformance):
    """Every promise; the fixture is that of the module."""


def test_the_server_is_known(engine):
    facts = engine.facts()
    assert facts["server"].startswith("vllm ")
    assert facts["seeding"] == "sample"


def test_likelihoods_are_those_of_the_embedded_engine(engine, embedded):
    asked = [prompt for prompt in PROMPTS for _ in range(3)]
    answers = ["7448", "1", "", "408", "412", "9", "56", "54", "5"]
    found = engine.likelihood(asked, answers)
    np.testing.assert_allclose(found, embedded.likelihood(asked, answers), rtol=0, atol=1e-4)


def test_recorded_logprobs_are_those_of_the_embedded_engine(engine, embedded, subject):
    """Whatever the temperature, they are the model's own."""
    table = subject.draw(*map(subject.request, PROMPTS), temperature=0.7)
    ended = pl.DataFrame(pl.from_arrow(table)).filter(pl.col("finish_reason") == "stop")
    logp = embedded.likelihood(ended["problem_id"].to_list(), ended["completion"].to_list())
    np.testing.assert_allclose(ended["sum_logprob"].to_numpy(), logp, rtol=0, atol=1e-4)


@pytest.mark.parametrize("change", [{}, {"temperature": 0.7, "top_k": 3}, {"top_p": 0.8}])
def test_samples_are_as_frequent_as_the_embedded_engine_says(subject, embedded, change):
    table = pl.DataFrame(pl.from_arrow(subject.draw(subject.request("7*8=", 0, 2_048), **change)))
    texts = [
        text if reason == "stop" else None
        for text, reason in table.select("completion", "finish_reason").iter_rows()
    ]
    distinct = sorted({text for text in texts if text is not None})
    decoding = subject.decoding.model_copy(update=change)
    logp = embedded.likelihood(["7*8="] * len(distinct), distinct, decoding)
    assert frequencies_p_value(texts, dict(zip(distinct, logp, strict=True))) > 1e-6


def test_a_sweep_agrees_with_the_embedded_engine_within_its_intervals(url, tmp_path):
    served = f"parameters: 14000, base_url: {json.dumps(url)}"
    for engine, model in (("openai", served), ("transformers", "path: ladder:14k, device: cpu")):
        (tmp_path / f"{engine}.yaml").write_text(SWEEP.format(engine=engine, model=model))
        done = passlaw(tmp_path, "run", f"{engine}.yaml", timeout=900)
        assert done.returncode == 0, done.stderr
    ours, theirs = (
        pl.read_parquet(tmp_path / engine / "curves.parquet")
        for engine in ("openai", "transformers")
    )
    both = ours.join(theirs, on=["kind", "model", "task", "x"], suffix="_theirs")
    assert both.height >= 4
    low = pl.max_horizontal("low", "low_theirs")
    high = pl.min_horizontal("high", "high_theirs")
    assert both.select((low <= high).mean()).item() == 1.0
    exact = pl.read_parquet(tmp_path / "transformers" / "exact.parquet")
    rates = pl.read_parquet(tmp_path / "openai" / "rates.parquet")
    cells = rates.join(exact, on=["model", "task", "problem_id"])
    assert cells.height == 40
    assert ((cells["low"] <= cells["p"]) & (cells["p"] <= cells["high"])).mean() >= 0.8
