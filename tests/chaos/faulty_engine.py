"""An engine that misbehaves where a file tells it to; else it is the simulated one.

The file `faults/MODEL` in the working directory holds what to do. A fault that is done once
removes its file first; one that is done `always` is done to every unit that asks problem p1.
"""

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.engines.simulated_engine import SimulatedModel
from pipelines.sweeps.engine_sections import SimulatedEngine

HUGE = 10_000_000
"""Characters."""
TABLES = {
    "too few": lambda table: table.slice(0, table.num_rows - 1),
    "too many": lambda table: pa.concat_tables([table, table.slice(0, 1)]),
    "another order": lambda table: table.take(np.arange(table.num_rows)[::-1]),
    "a sample twice": lambda table: table.take([0, *range(table.num_rows - 1)]),
    "NaN": lambda table: _with(table, "sum_logprob", [float("nan")] * table.num_rows),
}


class FaultyModel(SimulatedModel):
    def __init__(self, model):
        super().__init__(
            SimulatedEngine(
                engine="simulated", name=model.name, parameters=model.parameters, rate=0.2
            )
        )
        self._name = model.name

    def generate(self, requests, decoding):
        table = super().generate(requests, decoding)
        if self._name == "huge":  # every time, so that the undisturbed run has it too
            table = _with(table, "completion", ["x" * HUGE, *table["completion"].to_pylist()[1:]])
        fault = self._due(requests)
        if fault == "exits":
            os._exit(1)
        elif fault == "raises":
            raise ArithmeticError("the engine broke")
        elif fault == "no memory":
            raise MemoryError
        elif fault == "hangs":
            time.sleep(3_600)
        return TABLES[fault](table) if fault in TABLES else table

    def _due(self, requests):
        path = Path("faults", self._name)
        try:
            fault, _, always = path.read_text().partition(", ")
            if always:
                return fault if any(request.problem_id == "p1" for request in requests) else None
            path.unlink()  # of two engines only one gets here
        except FileNotFoundError:
            return None
        return fault


def _with(table, name, values):
    where = table.column_names.index(name)
    return table.set_column(where, table.schema.field(name), pa.array(values, table[name].type))
