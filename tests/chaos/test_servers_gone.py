"""A server that is gone for a while, of models or of the run's files: it is waited for."""

import importlib.util
import os
import time
from pathlib import Path

import pytest

from pipelines.storage import storage_at
from tests.chaos.gateway import Gateway
from tests.chaos.harness import against, ended, start, until, write_problems
from tests.pipelines.misbehaving_server import MisbehavingServer
from tests.pipelines.s3_server import s3

__all__ = ["s3"]
GONE = 5.0
"""Seconds."""
ASKED = """
name: asked
models:
  - {{engine: openai, name: m, parameters: 1000, base_url: "{url}", samples_per_request: 4}}
tasks:
  - {{source: file, name: sums, path: sums.jsonl}}
allocation: {{n: 200}}
fit: {{family: beta_binomial, hold_out: null, k: [1, 10]}}
resources: {{unit_samples: 400}}
tracking: {{enabled: false}}
"""


def test_a_server_of_models(tmp_path: Path, lives, ledger):
    if importlib.util.find_spec("openai") is None:
        pytest.skip("openai is not installed: pip install 'passlaw[openai]'")
    with MisbehavingServer() as server:
        write_problems(tmp_path)
        (tmp_path / "sweep.yaml").write_text(ASKED.format(url=server.url))
        assert lives.live(tmp_path, "undisturbed").code == 0
        asked = len(server.seen)
        process = start(tmp_path, "sample", "sweep.yaml", "-o", "run=run")
        until(lambda: len(server.seen) > asked + 50, "requests")
        server.stop()
        began = time.monotonic()
        time.sleep(GONE)
        server.start()
        ended(process)
    assert lives.live(tmp_path, "run", verbs=("score", "fit")).code == 0
    found = against(tmp_path / "run", tmp_path / "undisturbed")
    ledger.note("OpenAI server gone for a while", found, time.monotonic() - began - GONE)


@pytest.mark.usefixtures("nightly")
def test_a_store_of_files(through_ray, sweep_folder, lives, ledger, s3):
    url, port = s3.url("gone"), int(s3.address.rpartition(":")[2])
    storage = storage_at(url)
    with Gateway(port) as gateway:
        address = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{gateway.port}"}
        environment = {key: os.environ[key] for key in os.environ if key.startswith("AWS_")}
        process = start(
            sweep_folder,
            "sample",
            "sweep.yaml",
            "-o",
            f"run={url}",
            environment=environment | address,
        )
        until(lambda: storage.keys("samples") or process.poll() is not None, "a unit")
        gateway.shut()
        began = time.monotonic()
        time.sleep(GONE)
        gateway.open()
        ended(process)
    for key in storage.keys(""):
        path = sweep_folder / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(storage.read(key))
    assert lives.live(sweep_folder, "copy", verbs=("score", "fit")).code == 0
    found = against(sweep_folder / "copy", through_ray.root)
    ledger.note("object store gone for a while", found, time.monotonic() - began - GONE)
