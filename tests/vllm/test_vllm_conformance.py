"""vLLM keeps every promise of an engine, with a seed for each sample and with one for a unit."""

import pytest

from pipelines.sweeps.config import Decoding
from tests.pipelines.engine_conformance import EngineConformance, Subject
from tests.vllm.conftest import build


class TestVLLM(EngineConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls, engine):
        return Subject(
            engine=engine,
            fresh=build,
            prompts=("98*76=", "12*34=", "7*8="),
            decoding=Decoding(max_tokens=8),
            impossible="1" * 100 + "*2=",
            rounding=0.02,
        )
