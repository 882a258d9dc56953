"""A Ray cluster of several nodes on this machine, each a `ray start` of its own."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.command import ENVIRONMENT

OPEN = {"RAY_AUTH_MODE": "disabled"}
"""Whatever token this user has: some of Ray's commands would use it, and others not."""


class RayNodes:
    """Nodes that can be added and killed; a context manager that ends what it started."""

    def __init__(self):
        # A Unix socket's path is short, so not in pytest's own folder.
        self._folder = tempfile.TemporaryDirectory(prefix="nodes-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._nodes = {}

    def __enter__(self):
        self.add("head", cpus=0)
        return self

    def __exit__(self, *_):
        for name in list(self._nodes):
            self.kill(name)
        self._folder.cleanup()

    def add(self, name, cpus, gpus=0, **custom):
        """Start a node and return when it has joined."""
        host, _, port = self.address.partition(":")
        where = ["--head", f"--port={port}", "--include-dashboard=false"]
        if self._nodes:
            where = [f"--address={self.address}"]
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", *where, "--block",
            f"--node-ip-address={host}", f"--num-cpus={cpus}", f"--num-gpus={gpus}",
            f"--resources={json.dumps(custom)}", "--object-store-memory=80000000",
            f"--temp-dir={self._folder.name}", "--disable-usage-stats",
        ]  # fmt: skip
        log = Path(self._folder.name) / f"{name}.log"
        environment = {key: ENVIRONMENT[key] for key in ENVIRONMENT if key != "RAY_ADDRESS"}
        with log.open("wb") as said:
            self._nodes[name] = subprocess.Popen(
                command,
                env=environment | OPEN,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(lambda: "Ray runtime started" in log.read_text(), self._nodes[name], log)

    def processes(self, name):
        """Every process of a node, its raylet's workers too."""
        try:
            node = psutil.Process(self._nodes[name].pid)
            # The raylet first: without its node, no worker's death is its own.
            children = node.children(recursive=True)
            return sorted([*children, node], key=lambda process: process.name() != "raylet")
        except psutil.NoSuchProcess:
            return []

    def kill(self, name):
        """End a node as a power cut does: all at once."""
        for process in self.processes(name):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._nodes.pop(name).wait()

    def environment(self):
        """Environment of a driver that joins."""
        return ENVIRONMENT | OPEN | {"RAY_ADDRESS": self.address}


def until(condition, process=None, log=None, seconds=300):
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(log.read_text() if log else f"ended with {process.returncode}")
        assert time.monotonic() < deadline, log.read_text() if log else "waited in vain"
        time.sleep(0.05)
