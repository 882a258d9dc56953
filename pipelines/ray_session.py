"""A run's connection to Ray: starts it here or joins a cluster, and notices when it is gone.

Knows what machines have; not what runs on them.
"""

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray

from pipelines.errors import UserError
from pipelines.placement import Need, lacking
from pipelines.sweeps.config import OBJECT_STORE_BYTES, Resources

CHECKED_EVERY = 1.0
"""Seconds between two looks whether Ray is there."""
LOST_AFTER = 3.0
"""Seconds without an answer after which a Ray that was started here is given up."""
JOINED_LOST_AFTER = 45.0
"""The same of a cluster, whose head may be restarting. Ray ends its drivers after 60."""
NODES_KNOWN_FOR = 2.0


class RaySession:
    """One connection, from `begin` to `end`."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._address = resources.address or os.environ.get("RAY_ADDRESS")
        self._services: tuple[tuple[str, int], ...] = ()
        self._checked = self._answered = time.monotonic()
        self._nodes: list[Mapping[str, float]] = []
        self._nodes_known = -math.inf
        self.lost = False
        """Whether Ray does not answer any more."""

    def begin(self, needs: Mapping[str, Need]) -> None:
        """Start Ray, or join it.

        Args:
            needs: what one replica of each model needs.

        Raises:
            UserError: there is no such cluster; or this machine, if Ray is started here, can
                never hold a replica. A cluster that is joined may grow.
        """
        local: dict[str, Any] = {}
        # What an actor raises is told once, by us.
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
        if self._address is None:
            cpus = max(need.bundle.get("CPU", 0.0) * need.bundles for need in needs.values())
            local = {
                "num_cpus": max(os.cpu_count() or 1, math.ceil(self._resources.engines * cpus)),
                "object_store_memory": OBJECT_STORE_BYTES,
                "include_dashboard": False,
            }
            # Actors inherit these. One Polars thread: the other cores belong to the engines.
            os.environ.setdefault("POLARS_MAX_THREADS", "1")
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        host, colon, port = (self._address or "").rpartition(":")
        if colon and port.isdecimal() and not _answers((host, int(port))):
            # Ray would go on trying for minutes.
            raise self._unusable(ConnectionError("nothing answers"))
        told = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address=self._address, logging_level=logging.ERROR, log_to_driver=False, **local
            )
        except Exception as error:  # where its processes do not start in time, a bare one
            raise self._unusable(error) from None
        if threading.current_thread() is threading.main_thread():
            # Ray has put its own in place, which would drop what is in flight.
            signal.signal(signal.SIGTERM, told)
        self._services = _services()
        self._checked = self._answered = time.monotonic()
        if self._address is None:
            try:
                self._refuse_impossible(needs)
            except UserError:
                self.end()
                raise

    def end(self) -> None:
        """Leave the cluster, or stop the Ray that was started here."""
        ray.shutdown()

    def nodes(self) -> list[Mapping[str, float]]:
        """Return the resources of each node that is alive, as of a moment ago."""
        if time.monotonic() - self._nodes_known > NODES_KNOWN_FOR:
            self._nodes = [node["Resources"] for node in _nodes() if node["Alive"]]
            self._nodes_known = time.monotonic()
        return self._nodes

    def has_node(self, name: str | None) -> bool:
        """Whether a node is there, so that what died on it died of itself; yes if None."""
        return name is None or any(
            node["Alive"] and _answers((node["NodeManagerAddress"], node["NodeManagerPort"]))
            for node in _nodes()
            if node["NodeID"] == name
        )

    def check(self) -> None:
        """See that Ray is there; a driver without it would wait for ever, or be ended by Ray.

        Raises:
            UserError: it has not answered for a while.
        """
        now = time.monotonic()
        if now - self._checked < CHECKED_EVERY:
            return
        self._checked = now
        if all(_answers(service) for service in self._services):
            self._answered = time.monotonic()
            return
        patience = LOST_AFTER if self._address is None else JOINED_LOST_AFTER
        if now - self._answered > patience:
            self.lost = True
            which = "on this machine" if self._address is None else f"at {self._address}"
            raise UserError(
                f"Ray {which} has died: it does not answer any more; what was committed is kept, "
                "so give the same command again"
            )

    def _refuse_impossible(self, needs: Mapping[str, Need]) -> None:
        nodes = self.nodes()
        for name, need in needs.items():
            lack = lacking(need, nodes)
            if lack is not None:
                raise UserError(
                    f"model {name}: this machine can never hold its engine: {lack}; ask for less "
                    "in its placement (or resources.engine_gpus), or join a cluster with "
                    "resources.address"
                )

    def _unusable(self, error: Exception) -> UserError:
        first = str(error).strip().partition("\n")[0]
        if self._address is None:
            return UserError(f"Ray cannot be started on this machine ({first})")
        return UserError(
            f"resources.address: is {self._address!r}; no Ray cluster can be joined there ({first})"
        )


def _services() -> tuple[tuple[str, int], ...]:
    """Return host and port of the cluster's control service and of this node's raylet."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    mine = next(node for node in _nodes() if node["NodeID"] == context.get_node_id())
    return (host, int(port)), (mine["NodeManagerAddress"], mine["NodeManagerPort"])


def _nodes() -> list[dict[str, Any]]:
    return list(ray.nodes())  # type: ignore[no-untyped-call]


def _answers(service: tuple[str, int]) -> bool:
    try:
        socket.create_connection(service, timeout=2.0).close()
    except OSError:
        return False
    return True
