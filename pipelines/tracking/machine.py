"""What sampling takes of the driver's machine, watched by a thread and kept in the spool.

The names are MLflow's own, so that its page of system metrics shows them; MLflow itself can watch
only while a run of it is open, which would need a server while sampling. Of the driver's machine
alone: what a cluster's other nodes do is not seen. Needs psutil, and pynvml for GPUs; without, it
watches nothing. Whatever fails here is left out.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.tracking.record import Point
from pipelines.tracking.spool import Spool

PERIOD = 1.0
"""Seconds between two looks, at first."""
MOST = 300
"""Looks that are kept of a session; beyond, every other one is dropped, and looks become rarer."""
_KEEP_EVERY = 30
"""Looks after which they are written, so that a driver that is killed leaves them."""
_FEWEST = 3
"""Looks that are worth keeping: a session that found nothing to do has fewer."""

Look = Callable[[], dict[str, float]]

_log = logging.getLogger(__name__)


@contextmanager
def watched(spool: Spool, period: float = PERIOD) -> Iterator[None]:
    """Watch the machine while sampling."""
    look = machine()
    if look is None:
        yield
        return
    watch = Watch(spool, look, period)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class Watch:
    """Looks at the machine again and again."""

    def __init__(self, spool: Spool, look: Look, period: float) -> None:
        self._spool, self._look, self._period = spool, look, period
        self._start = int(time.time() * 1_000)
        self._looks: list[tuple[int, dict[str, float]]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last look, and keep what was seen."""
        self._closed.set()
        self._thread.join(timeout=5.0)
        if not self._thread.is_alive():
            self.look()
            self._keep()

    def look(self) -> None:
        """Look once."""
        with _left_out():
            self._looks.append((int(time.time() * 1_000), self._look()))
        if len(self._looks) > MOST:
            self._looks = self._looks[::2]
            self._period *= 2

    def _run(self) -> None:
        self.look()
        while not self._closed.wait(self._period):
            self.look()
            if len(self._looks) % _KEEP_EVERY == 0:
                self._keep()

    def _keep(self) -> None:
        if len(self._looks) < _FEWEST:
            return
        points: list[Point] = [
            (f"system/{name}", value, step, when)
            for step, (when, seen) in enumerate(self._looks)
            for name, value in seen.items()
        ]
        with _left_out():
            self._spool.keep_system(self._start, points)


@contextmanager
def _left_out() -> Iterator[None]:
    """Go on whatever fails: drivers and disks do, and nothing of a run depends on this."""
    try:
        yield
    except Exception:
        _log.debug("system metrics are left out", exc_info=True)


def machine() -> Look | None:
    """Return what looks at this machine; None where psutil is not installed."""
    try:
        import psutil
    except ImportError:
        return None
    driver = psutil.Process()
    psutil.cpu_percent()  # counts from here
    gpus = _gpus()

    def look() -> dict[str, float]:
        memory = psutil.virtual_memory()
        seen = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / 1e6,
            "system_memory_usage_percentage": memory.percent,
            "driver_memory_megabytes": driver.memory_info().rss / 1e6,
        }
        return seen | gpus()

    return look


def _gpus() -> Look:
    """Return what looks at the GPUs of NVIDIA that are here."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
    except Exception:  # not installed, no driver, no device: there is nothing to see
        return dict

    def look() -> dict[str, float]:
        seen = {}
        for index, handle in enumerate(handles):
            with contextlib.suppress(pynvml.NVMLError):
                memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
                rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
                seen[f"gpu_{index}_memory_usage_megabytes"] = memory.used / 1e6
                seen[f"gpu_{index}_memory_usage_percentage"] = 100 * memory.used / memory.total
                seen[f"gpu_{index}_utilization_percentage"] = float(rates.gpu)
        return seen

    return look
