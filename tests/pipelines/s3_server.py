"""A real S3 server on loopback, for the tests that keep a run in an object store."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.request import Request, urlopen

import pytest

BUCKET = "bucket"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
PAGE = 100
"""Keys that the server lists at a time; Amazon's gives a thousand."""
_SERVE = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@dataclass(frozen=True)
class S3Server:
    address: str

    def url(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}"

    def check_keys(self, after: int) -> None:
        """Demand credentials that the server knows, which it has none of, after some requests."""
        _post(f"{self.address}/moto-api/reset-auth", str(after).encode())


def _post(address: str, data: bytes = b"", method: str = "POST") -> None:
    plain = {"Content-Type": "text/plain"}
    with urlopen(Request(address, data=data, method=method, headers=plain)):
        pass


def _environment(address: str) -> dict[str, str]:
    """Return the environment in which the server is found, and nothing of this machine's own."""
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    place = {"AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1"}
    return {"AWS_EC2_METADATA_DISABLED": "true", **nothing, **place, **CREDENTIALS}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """Start the server, with an empty bucket, and point the environment to it."""
    for name, extra in (("s3fs", "pip install 'passlaw[s3]'"), ("moto", "pip install 'moto[s3]'")):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: {extra}")
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            env=os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
    ):
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in _environment(address).items():
            patch.setenv(name, value)
        _post(f"{address}/{BUCKET}", method="PUT")
        yield S3Server(address)
        process.stdin.close()
